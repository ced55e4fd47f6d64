/** One plugin for the login and for Box, for the whole of an application. */

import {
  createSsoBox,
  type LoginRequired,
  type SsoBox,
  type SsoBoxOptions,
} from "@sso-box/client";
import { answersOf, demandsOf, leaveForLogin, whenAnother } from "@sso-box/client/oidc";
import type { SigninRedirectArgs, User, UserManager } from "oidc-client-ts";
import { type App, type InjectionKey, inject, type Ref, ref, shallowRef } from "vue";

export interface SsoBoxPluginOptions
  extends Pick<SsoBoxOptions, "baseUrl" | "boxOrigins"> {
  readonly userManager: UserManager;
  /** Prove each login to be this page's own: see `nonce_proof` in the configuration. */
  readonly nonceProof?: boolean;
}

export interface SsoBoxContext {
  readonly box: SsoBox;
  /** Who is signed in, null if nobody is. */
  readonly user: Readonly<Ref<User | null>>;
  /** True until a login that comes back has been looked at. */
  readonly isLoading: Readonly<Ref<boolean>>;
  /** What went wrong with the login. */
  readonly error: Readonly<Ref<Error | null>>;
  /** Why the person has to log in again, null while all is well. */
  readonly loginRequired: Readonly<Ref<LoginRequired | null>>;
  /**
   * Leaves the page, with what the service wants of the login (RFC 9470). Whoever comes
   * back to it in the history finds nobody signed in.
   */
  signIn(args?: SigninRedirectArgs): Promise<void>;
  /** End every Box token of this person, then the login at the provider. */
  signOutEverywhere(): Promise<void>;
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

function start({ userManager, nonceProof = false, ...options }: SsoBoxPluginOptions) {
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
  const stops = [
    userManager.events.addUserLoaded((loaded) => {
      user.value = loaded;
      if (!loginRequired.value) return;
      // A login that did not leave the page, in a window of its own for example.
      box.clear();
      loginRequired.value = null;
    }),
    whenAnother(userManager, (person) => {
      box.clear();
      arrival.value = { person };
    }),
    userManager.events.addUserUnloaded(() => {
      user.value = null;
    }),
  ];
  const context: Inside = {
    arrival,
    box,
    user,
    isLoading,
    error,
    loginRequired,
    signIn(args) {
      const all = { ...demandsOf(loginRequired.value), ...args };
      return leaveForLogin(userManager, all, nonceProof);
    },
    async signOutEverywhere() {
      await box.signOutEverywhere();
      await userManager.signoutRedirect();
    },
  };
  comeBack(userManager)
    .then((known) => {
      user.value = known;
    })
    .catch((reason) => {
      error.value = reason;
    })
    .finally(() => {
      isLoading.value = false;
    });
  return { context, stop: () => stops.forEach((stop) => void stop()) };
}

async function comeBack(userManager: UserManager): Promise<User | null> {
  const query = new URLSearchParams(location.search);
  if (!query.has("state") || !(query.has("code") || query.has("error"))) {
    return userManager.getUser();
  }
  try {
    return (await userManager.signinCallback()) ?? null;
  } finally {
    // The code is spent, and has no business in the address or the history.
    history.replaceState(null, "", location.pathname);
  }
}
