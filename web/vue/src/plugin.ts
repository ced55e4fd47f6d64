/** One plugin for the login and for Box, for the whole of an application. */

import {
  createSsoBox,
  type LoginRequired,
  type SsoBox,
  type SsoBoxOptions,
} from "@sso-box/client";
import {
  answersOf,
  demandsOf,
  dropCode,
  leaveForLogin,
  type SignInArgs,
  signOutOf,
  troubleOf,
  whenAnother,
} from "@sso-box/client/oidc";
import type { SignoutRedirectArgs, User, UserManager } from "oidc-client-ts";
import { type App, type InjectionKey, inject, type Ref, ref, shallowRef } from "vue";

export interface SsoBoxPluginOptions
  extends Pick<SsoBoxOptions, "baseUrl" | "boxOrigins"> {
  readonly userManager: UserManager;
  /** Prove each login to be this page's own: see `nonce_proof` in the configuration. */
  readonly nonceProof?: boolean;
  /**
   * A login has come back, or to nothing (null), and its answer is out of the address:
   * the place for a router to go where the person was.
   */
  readonly onReturn?: (user: User | null) => void;
}

export interface SsoBoxContext {
  readonly box: SsoBox;
  /** Who is signed in, null if nobody is. */
  readonly user: Readonly<Ref<User | null>>;
  /** True until a login that comes back has been looked at. */
  readonly isLoading: Readonly<Ref<boolean>>;
  /** What went wrong with the login, on its way there or back. */
  readonly error: Readonly<Ref<Error | null>>;
  /** Why the person has to log in again, null while all is well. */
  readonly loginRequired: Readonly<Ref<LoginRequired | null>>;
  /**
   * Leaves the page, with what the service wants of the login (RFC 9470). Whoever comes
   * back to it in the history finds nobody signed in. Where that does not work it
   * rejects, and `error` says so.
   */
  signIn(args?: SignInArgs): Promise<void>;
  /** End the login of this page and at the provider, where that has a log-out. */
  signOut(args?: SignoutRedirectArgs): Promise<void>;
  /** End every Box token of this person, then the login at the provider. */
  signOutEverywhere(args?: SignoutRedirectArgs): Promise<void>;
}

/** Who has come since the page was loaded; null for nobody any more. */
interface Arrival {
  readonly person: string | null;
}

interface Inside extends SsoBoxContext {
  readonly arrival: Readonly<Ref<Arrival | undefined>>;
}

const KEY: InjectionKey<Inside> = Symbol("sso-box");

/** For `app.use`; takes in a login that comes back to this page. */
export function createSsoBoxPlugin(options: SsoBoxPluginOptions) {
  return {
    install(app: App): void {
      const { context, stop } = start(options);
      app.provide(KEY, context);
      app.onUnmount(stop);
    },
  };
}

export function useSsoBox(): SsoBoxContext {
  return useInside();
}

export function useInside(): Inside {
  const context = inject(KEY, null);
  if (!context) throw new Error("useSsoBox needs createSsoBoxPlugin in the app");
  return context;
}

function start(all: SsoBoxPluginOptions) {
  const { userManager, nonceProof = false, onReturn, ...options } = all;
  const user = shallowRef<User | null>(null);
  const isLoading = ref(true);
  const error = shallowRef<Error | null>(null);
  const loginRequired = shallowRef<LoginRequired | null>(null);
  const arrival = shallowRef<Arrival>();
  const { getIdToken, getNonceVerifier } = answersOf(userManager);
  const box = createSsoBox({
    ...options,
    getIdToken,
    ...(nonceProof && { getNonceVerifier }),
    onLoginRequired(reason) {
      loginRequired.value = reason;
    },
  });
  const context: Inside = {
    arrival,
    box,
    user,
    isLoading,
    error,
    loginRequired,
    async signIn(args) {
      const wanted = { ...demandsOf(loginRequired.value), ...args };
      error.value = null;
      try {
        await leaveForLogin(userManager, wanted, nonceProof);
      } catch (reason) {
        error.value = reason as Error;
        throw reason;
      }
    },
    signOut: (args) => signOutOf(userManager, args),
    async signOutEverywhere(args) {
      await box.signOutEverywhere();
      await signOutOf(userManager, args);
    },
  };
  // On a server nobody is signed in, and nothing is known yet.
  if (typeof window === "undefined") return { context, stop: () => {} };
  const stops = [
    // Before `user`: whoever sees the next person sees nothing of the one before, and
    // what they ask for is not ended.
    whenAnother(userManager, (person) => {
      box.clear();
      if (person !== null) loginRequired.value = null;
      arrival.value = { person };
    }),
    userManager.events.addUserLoaded((loaded) => {
      user.value = loaded;
      if (!loginRequired.value) return;
      // The same person, by a login in a window of its own for example.
      box.clear();
      loginRequired.value = null;
    }),
    userManager.events.addUserUnloaded(() => {
      user.value = null;
    }),
  ];
  comeBack(userManager, onReturn)
    .then((known) => {
      user.value = known;
    })
    .catch((reason) => {
      error.value = troubleOf(reason);
    })
    .finally(() => {
      isLoading.value = false;
    });
  return { context, stop: () => stops.forEach((stop) => void stop()) };
}

async function comeBack(
  userManager: UserManager,
  onReturn: SsoBoxPluginOptions["onReturn"],
): Promise<User | null> {
  const query = new URLSearchParams(location.search);
  if (!query.has("state") || !(query.has("code") || query.has("error"))) {
    return userManager.getUser();
  }
  let user: User | null = null;
  try {
    user = (await userManager.signinCallback()) ?? null;
    return user;
  } finally {
    dropCode();
    onReturn?.(user);
  }
}
