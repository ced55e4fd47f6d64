/** One provider for the login and for Box, round the part of a page that needs them. */

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
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useState,
} from "react";
import { AuthProvider, useAuth } from "react-oidc-context";

export interface SsoBoxProviderProps
  extends Pick<SsoBoxOptions, "baseUrl" | "boxOrigins"> {
  /** Made once, outside of any component. */
  readonly userManager: UserManager;
  /** Prove each login to be this page's own: see `nonce_proof` in the configuration. */
  readonly nonceProof?: boolean;
  /**
   * A login has come back, or to nothing (null), and its answer is out of the address:
   * the place for a router to go where the person was.
   */
  readonly onReturn?: (user: User | null) => void;
  readonly children?: ReactNode;
}

export interface SsoBoxContext {
  readonly box: SsoBox;
  /** Why the person has to log in again, null while all is well. */
  readonly loginRequired: LoginRequired | null;
  /** What went wrong with the login, on its way there or back. */
  readonly error: Error | null;
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
  readonly arrival: Arrival | undefined;
}

const Context = createContext<Inside | null>(null);

/** Below it `useAuth` of react-oidc-context works as well. */
export function SsoBoxProvider({ children, ...props }: SsoBoxProviderProps) {
  function cameBack(user: User | undefined): void {
    dropCode();
    props.onReturn?.(user ?? null);
  }
  return (
    <AuthProvider userManager={props.userManager} onSigninCallback={cameBack}>
      <BoxProvider {...props}>{children}</BoxProvider>
    </AuthProvider>
  );
}

export function useSsoBox(): SsoBoxContext {
  return useInside();
}

export function useInside(): Inside {
  const context = useContext(Context);
  if (!context) throw new Error("useSsoBox needs an SsoBoxProvider above it");
  return context;
}

function BoxProvider(props: SsoBoxProviderProps) {
  const { userManager, baseUrl, nonceProof = false, children } = props;
  const boxOrigins = props.boxOrigins?.join(" ") ?? "";
  const [loginRequired, setLoginRequired] = useState<LoginRequired | null>(null);
  const [notLeft, setNotLeft] = useState<Error | null>(null);
  const { error: notBack } = useAuth();
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each that fails
  useEffect(() => {
    // The library calls back for a login that succeeded alone.
    if (notBack?.source !== "signinCallback") return;
    dropCode();
    props.onReturn?.(null);
  }, [notBack]);
  const box = useMemo(() => {
    const { getIdToken, getNonceVerifier } = answersOf(userManager);
    return createSsoBox({
      baseUrl,
      boxOrigins: boxOrigins.split(" "),
      getIdToken,
      ...(nonceProof && { getNonceVerifier }),
      onLoginRequired: setLoginRequired,
    });
  }, [userManager, baseUrl, boxOrigins, nonceProof]);
  const [arrival, setArrival] = useState<Arrival>();
  useEffect(
    () =>
      whenAnother(userManager, (person) => {
        box.clear();
        setArrival({ person });
      }),
    [userManager, box],
  );
  useEffect(() => {
    if (!loginRequired) return;
    // A login that did not leave the page, in a window of its own for example.
    return userManager.events.addUserLoaded(() => {
      box.clear();
      setLoginRequired(null);
    });
  }, [userManager, box, loginRequired]);
  const context = useMemo<Inside>(
    () => ({
      arrival,
      box,
      loginRequired,
      error: notLeft ?? (notBack ? troubleOf(notBack) : null),
      async signIn(args) {
        const all = { ...demandsOf(loginRequired), ...args };
        setNotLeft(null);
        try {
          await leaveForLogin(userManager, all, nonceProof);
        } catch (error) {
          setNotLeft(error as Error);
          throw error;
        }
      },
      signOut: (args) => signOutOf(userManager, args),
      async signOutEverywhere(args) {
        await box.signOutEverywhere();
        await signOutOf(userManager, args);
      },
    }),
    [arrival, box, loginRequired, notLeft, notBack, nonceProof, userManager],
  );
  return <Context.Provider value={context}>{children}</Context.Provider>;
}
