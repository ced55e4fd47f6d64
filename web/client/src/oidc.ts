/** The client's questions, answered by a `UserManager` of oidc-client-ts. */

import type {
  IdTokenClaims,
  SigninRedirectArgs,
  SignoutRedirectArgs,
  User,
  UserManager,
} from "oidc-client-ts";
import { type LoginRequired, unreachable } from "./errors.js";
import type { SsoBoxOptions } from "./index.js";
import { createNonceProof } from "./nonce.js";

// A token that ends sooner could be refused on its way.
const SKEW_MS = 30_000;

type Answers = Required<Pick<SsoBoxOptions, "getIdToken" | "getNonceVerifier">>;

type Users = Pick<UserManager, "events" | "getUser" | "signinSilent" | "removeUser">;

const known = new WeakMap<Users, Answers>();

/**
 * To spread into the options of `createSsoBox`; before the login comes back.
 *
 * What a login carried is told only as it comes back: no storage of the library's
 * holds it any longer. So there is one for each of `users`, however often a part of the
 * page is made anew.
 */
export function answersOf(users: Users): Answers {
  const answers = known.get(users) ?? answering(users);
  known.set(users, answers);
  return answers;
}

function answering(users: Users): Answers {
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

  async function renewed(before: User): Promise<string | null> {
    const begun = turn;
    const user = await users.signinSilent().catch((error) => nobody(error, before));
    if (turn === begun) return user?.id_token ?? null;
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
      renewal ??= renewed(user).finally(() => {
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

/** What a login can be started with; `state` comes back as that of the user. */
export type SignInArgs = Omit<SigninRedirectArgs, "nonce" | "state"> & {
  readonly state?: Readonly<Record<string, unknown>>;
};

/**
 * Leave for the login. With `nonceProof` its nonce is one that the page can prove to be
 * its own: the secret lies in the session storage until the login is back, like PKCE's;
 * it reaches no address.
 */
export async function leaveForLogin(
  users: Pick<UserManager, "signinRedirect" | "removeUser">,
  args: SignInArgs,
  nonceProof: boolean,
): Promise<void> {
  await users.signinRedirect(nonceProof ? await withProof(args) : args);
  // Browsers keep a page that was left, and show it to whoever goes back in the history:
  // it comes to this point then, and has nobody's files to show.
  await users.removeUser();
}

async function withProof(args: SignInArgs): Promise<SigninRedirectArgs> {
  const { verifier, nonce } = await createNonceProof();
  const state: LoginState = { ...args.state, nonceVerifier: verifier };
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

/** End the login at the provider; where that has no log-out, such as Google, here alone. */
export async function signOutOf(
  users: Pick<UserManager, "metadataService" | "removeUser" | "signoutRedirect">,
  args?: SignoutRedirectArgs,
): Promise<void> {
  const { metadataService } = users;
  // One that is away fails below, once the page has forgotten the person.
  const exit = await metadataService.getEndSessionEndpoint().catch(() => "unknown");
  await (exit ? users.signoutRedirect(args) : users.removeUser());
}

// What a provider answers with (RFC 6749 section 4.1.2, RFC 9207, OpenID sessions).
const ANSWER = "code state iss session_state error error_description error_uri".split(
  " ",
);

// What a login without a page is refused with (OpenID Connect Core section 3.1.2.6).
const NOBODY_KNOWN = /^(login|interaction|consent|account_selection)_required$/;

/** What went wrong with a login; that nobody was known at the provider is no trouble. */
export function troubleOf(error: unknown): Error | null {
  const { innerError = error } = error as { innerError?: unknown };
  const { error: code } = innerError as { error?: string | null };
  return NOBODY_KNOWN.test(code ?? "") ? null : (error as Error);
}

/** The code is spent, and has no business in the address or the history. */
export function dropCode(): void {
  const url = new URL(location.href);
  for (const name of ANSWER) url.searchParams.delete(name);
  if (/[#&](code|error)=/.test(url.hash)) url.hash = "";
  // A router keeps its own there.
  history.replaceState(history.state, "", url);
}

// Of RFC 6749 section 4.1.2.1: the provider's own trouble, and no word on the login.
const ITS_OWN_TROUBLE = new Set(["server_error", "temporarily_unavailable"]);

/**
 * A provider that says no has ended the login; one that says nothing is away.
 *
 * Without a refresh token it was asked in a hidden frame, where many say nothing for good.
 */
function nobody(error: unknown, { refresh_token }: User): null {
  const { name, error: code } = error as { name?: string; error?: string | null };
  if (name === "ErrorResponse" && !ITS_OWN_TROUBLE.has(code ?? "")) return null;
  if (name === "ErrorTimeout" && !refresh_token) return null;
  throw unreachable("provider_unreachable", error);
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
  const asked = users.getUser().then((user) => {
    if (person === undefined) person = user && personOf(user.profile);
  });
  // Whoever needs the user asks as well, and is told why there is no answer.
  asked.catch(() => undefined);
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
