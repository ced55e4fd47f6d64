/** The client's questions, answered by a `UserManager` of oidc-client-ts. */

import type {
  SigninRedirectArgs,
  SignoutRedirectArgs,
  User,
  UserManager,
} from "oidc-client-ts";
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
  let aheadS = 0;
  users.events.addUserLoaded(({ state, profile }) => {
    // The page's clock may be off: what has just come has just been issued.
    aheadS = Date.now() / 1000 - profile.iat;
    verifier = (state as LoginState | undefined)?.nonceVerifier ?? verifier;
  });
  users.events.addUserUnloaded(() => {
    verifier = undefined;
  });

  async function renewed(before: User): Promise<string | null> {
    const user = await users.signinSilent().catch((error) => nobody(error, before));
    return user?.id_token ?? null;
  }

  return {
    async getIdToken({ fresh }) {
      const user = await users.getUser();
      if (!user?.id_token) return null;
      const now = Date.now() / 1000 - aheadS;
      if (!fresh && user.profile.exp > now + SKEW_S) return user.id_token;
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
 * Start the login with a nonce that the page can prove to be its own.
 *
 * The secret lies in the session storage until the login is back, like PKCE's; it
 * reaches no address.
 */
export async function signInWithProof(
  users: Pick<UserManager, "signinRedirect">,
  args: SignInArgs = {},
): Promise<void> {
  const { verifier, nonce } = await createNonceProof();
  const state: LoginState = { ...args.state, nonceVerifier: verifier };
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
