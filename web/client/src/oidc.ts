/** The client's questions, answered by a `UserManager` of oidc-client-ts. */

import type { SigninRedirectArgs, UserManager } from "oidc-client-ts";
import { type LoginRequired, unreachable } from "./errors.js";
import type { SsoBox, SsoBoxOptions } from "./index.js";
import { createNonceProof } from "./nonce.js";

// A token that ends sooner could be refused on its way.
const SKEW_S = 30;

type Answers = Required<Pick<SsoBoxOptions, "getIdToken" | "getNonceVerifier">>;

/**
 * To spread into the options of `createSsoBox`; before the login comes back.
 *
 * What a login carried is told only as it comes back: no storage of the library's
 * holds it any longer.
 */
export function answersOf(
  users: Pick<UserManager, "events" | "getUser" | "signinSilent">,
): Answers {
  let verifier: string | undefined;
  let renewal: Promise<string | null> | undefined;
  users.events.addUserLoaded(({ state }) => {
    verifier = (state as LoginState | undefined)?.nonceVerifier ?? verifier;
  });
  users.events.addUserUnloaded(() => {
    verifier = undefined;
  });

  async function renewed(): Promise<string | null> {
    const user = await users.signinSilent().catch(nobody);
    return user?.id_token ?? null;
  }

  return {
    async getIdToken({ fresh }) {
      const user = await users.getUser();
      if (!user?.id_token) return null;
      if (!fresh && user.profile.exp > Date.now() / 1000 + SKEW_S) return user.id_token;
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
 * Start the login with a nonce that the page can prove to be its own.
 *
 * The secret lies in the session storage until the login is back, like PKCE's; it
 * reaches no address.
 */
export async function signInWithProof(
  users: Pick<UserManager, "signinRedirect">,
  args: Omit<SigninRedirectArgs, "nonce" | "state"> = {},
): Promise<void> {
  const { verifier, nonce } = await createNonceProof();
  const state: LoginState = { nonceVerifier: verifier };
  await users.signinRedirect({ ...args, nonce, state });
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

/** Forget the tokens of whoever signs out or is followed by somebody else. */
export function forgetWith(
  events: Pick<UserManager["events"], "addUserLoaded" | "addUserUnloaded">,
  box: Pick<SsoBox, "clear">,
): () => void {
  let person: string | undefined;
  const gone = events.addUserUnloaded(() => {
    person = undefined;
    box.clear();
  });
  const came = events.addUserLoaded(({ profile: { iss, sub } }) => {
    const now = JSON.stringify([iss, sub]);
    if (person !== undefined && person !== now) box.clear();
    person = now;
  });
  return () => {
    gone();
    came();
  };
}
