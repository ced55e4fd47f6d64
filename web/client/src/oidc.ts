/** The client's questions, answered by a `UserManager` of oidc-client-ts. */

import type { IdTokenClaims, SigninRedirectArgs, UserManager } from "oidc-client-ts";
import { type LoginRequired, unreachable } from "./errors.js";
import type { SsoBoxOptions } from "./index.js";
import { createNonceProof } from "./nonce.js";

// A token that ends sooner could be refused on its way.
const SKEW_MS = 30_000;

type Answers = Required<Pick<SsoBoxOptions, "getIdToken" | "getNonceVerifier">>;

/**
 * To spread into the options of `createSsoBox`; before the login comes back.
 *
 * What a login carried is told only as it comes back: no storage of the library's
 * holds it any longer.
 */
export function answersOf(
  users: Pick<UserManager, "events" | "getUser" | "signinSilent" | "removeUser">,
): Answers {
  let verifier: string | undefined;
  let renewal: Promise<string | null> | undefined;
  let arrivedAt: number | undefined;
  let turn = 0;
  whenAnother(users, () => {
    turn += 1;
    verifier = undefined;
  });
  users.events.addUserLoaded(({ state }) => {
    arrivedAt = Date.now();
    verifier = (state as LoginState | undefined)?.nonceVerifier ?? verifier;
  });

  async function renewed(): Promise<string | null> {
    const before = turn;
    const user = await users.signinSilent().catch(nobody);
    if (turn === before) return user?.id_token ?? null;
    // Somebody has signed out meanwhile, and the library has signed them in again.
    if (user) await users.removeUser();
    return null;
  }

  /** In milliseconds, by this machine's clock, which may be hours off. */
  function endOf({ iat, exp }: IdTokenClaims): number {
    return arrivedAt === undefined ? exp * 1000 : arrivedAt + (exp - iat) * 1000;
  }

  return {
    async getIdToken({ fresh }) {
      const user = await users.getUser();
      if (!user?.id_token) return null;
      if (!fresh && Date.now() < endOf(user.profile) - SKEW_MS) return user.id_token;
      // One for all who ask meanwhile: a refresh token may be used only once.
      renewal ??= renewed().finally(() => {
        renewal = undefined;
      });
      return renewal;
    },
    getNonceVerifier: async () => verifier,
  };
}

interface LoginState {
  readonly nonceVerifier?: string;
}

/**
 * Leave for the login. With `nonceProof` its nonce is one that the page can prove to be
 * its own: the secret lies in the session storage until the login is back, like PKCE's;
 * it reaches no address.
 */
export async function leaveForLogin(
  users: Pick<UserManager, "signinRedirect" | "removeUser">,
  args: SigninRedirectArgs,
  nonceProof: boolean,
): Promise<void> {
  await users.signinRedirect(nonceProof ? await withProof(args) : args);
  // Browsers keep a page that was left, and show it to whoever goes back in the history:
  // it comes to this point then, and has nobody's files to show.
  await users.removeUser();
}

async function withProof(args: SigninRedirectArgs): Promise<SigninRedirectArgs> {
  const { verifier, nonce } = await createNonceProof();
  const state: LoginState = { nonceVerifier: verifier };
  return { ...args, nonce, state };
}

/** What the service wants of the next login (RFC 9470), such as one from now on. */
export function demandsOf(
  reason: LoginRequired | null,
): Pick<SigninRedirectArgs, "max_age" | "acr_values"> {
  return {
    ...(reason?.maxAge !== undefined && { max_age: reason.maxAge }),
    ...(reason?.acrValues !== undefined && { acr_values: reason.acrValues }),
  };
}

// Of RFC 6749 section 4.1.2.1: the provider's own trouble, and no word on the login.
const ITS_OWN_TROUBLE = new Set(["server_error", "temporarily_unavailable"]);

/** A provider that says no has ended the login; one that says nothing is away. */
function nobody(error: unknown): null {
  const { name, error: code } = error as { name?: string; error?: string | null };
  if (name === "ErrorResponse" && !ITS_OWN_TROUBLE.has(code ?? "")) return null;
  throw unreachable("provider_unreachable");
}

/**
 * Tell who has come where somebody else was signed in, or nobody; null where somebody has
 * signed out. A renewal is nothing new. Returns what ends it.
 */
export function whenAnother(
  users: Pick<UserManager, "events" | "getUser">,
  tell: (person: string | null) => void,
): () => void {
  let person: string | null | undefined;
  // Of who was signed in before, from a storage of the page's own, no event tells.
  void users.getUser().then((user) => {
    if (person === undefined) person = user && personOf(user.profile);
  });
  const gone = users.events.addUserUnloaded(() => {
    person = null;
    tell(null);
  });
  const came = users.events.addUserLoaded(({ profile }) => {
    const now = personOf(profile);
    const isAnother = person !== undefined && person !== now;
    person = now;
    if (isAnother) tell(now);
  });
  return () => {
    gone();
    came();
  };
}

/** A subject is one person's at its issuer alone. */
function personOf({ iss, sub }: Pick<IdTokenClaims, "iss" | "sub">): string {
  return JSON.stringify([iss, sub]);
}
