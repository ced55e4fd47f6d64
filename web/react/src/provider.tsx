/** One provider for the login and for Box, round the part of a page that needs them. */

import {
  createSsoBox,
  type LoginRequired,
  type SsoBox,
  type SsoBoxOptions,
} from "@sso-box/client";
import { answersOf, demandsOf, leaveForLogin, whenAnother } from "@sso-box/client/oidc";
import type { SigninRedirectArgs, UserManager } from "oidc-client-ts";
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
  readonly children?: ReactNode;
}

export interface SsoBoxContext {
  readonly box: SsoBox;
  /** Why the person has to log in again, null while all is well. */
  readonly loginRequired: LoginRequired | null;
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
  readonly arrival: Arrival | undefined;
}

const Context = createContext<Inside | null>(null);

/** Below it `useAuth` of react-oidc-context works as well. */
export function SsoBoxProvider({ children, ...props }: SsoBoxProviderProps) {
  return (
    <AuthProvider userManager={props.userManager} onSigninCallback={dropCode}>
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
  const { error } = useAuth();
  useEffect(() => {
    // The library calls back for a login that succeeded alone.
    if (error?.source === "signinCallback") dropCode();
  }, [error]);
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
      signIn: (args) => {
        const all = { ...demandsOf(loginRequired), ...args };
        return leaveForLogin(userManager, all, nonceProof);
      },
      async signOutEverywhere() {
        await box.signOutEverywhere();
        await userManager.signoutRedirect();
      },
    }),
    [arrival, box, loginRequired, nonceProof, userManager],
  );
  return <Context.Provider value={context}>{children}</Context.Provider>;
}

/** The code is spent, and has no business in the address or the history. */
function dropCode(): void {
  history.replaceState(null, "", location.pathname);
}
