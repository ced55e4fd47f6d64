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
  forgetWith,
  signInWithProof,
} from "@sso-box/client/oidc";
import type { SigninRedirectArgs, UserManager } from "oidc-client-ts";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useState,
} from "react";
import { AuthProvider } from "react-oidc-context";

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
  /** Leaves the page, with what the service wants of the login (RFC 9470). */
  signIn(args?: SigninRedirectArgs): Promise<void>;
  /** End every Box token of this person, then the login at the provider. */
  signOutEverywhere(): Promise<void>;
}

const Context = createContext<SsoBoxContext | null>(null);

/** Below it `useAuth` of react-oidc-context works as well. */
export function SsoBoxProvider({ children, ...props }: SsoBoxProviderProps) {
  return (
    <AuthProvider userManager={props.userManager} onSigninCallback={dropCode}>
      <BoxProvider {...props}>{children}</BoxProvider>
    </AuthProvider>
  );
}

export function useSsoBox(): SsoBoxContext {
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
  useEffect(() => forgetWith(userManager.events, box), [userManager, box]);
  useEffect(() => {
    if (!loginRequired) return;
    // A login that did not leave the page, in a window of its own for example.
    return userManager.events.addUserLoaded(() => {
      box.clear();
      setLoginRequired(null);
    });
  }, [userManager, box, loginRequired]);
  const context = useMemo<SsoBoxContext>(
    () => ({
      box,
      loginRequired,
      signIn: (args) => {
        const all = { ...demandsOf(loginRequired), ...args };
        return nonceProof
          ? signInWithProof(userManager, all)
          : userManager.signinRedirect(all);
      },
      async signOutEverywhere() {
        await box.signOutEverywhere();
        await userManager.signoutRedirect();
      },
    }),
    [box, loginRequired, nonceProof, userManager],
  );
  return <Context.Provider value={context}>{children}</Context.Provider>;
}

/** The code is spent, and has no business in the address or the history. */
function dropCode(): void {
  history.replaceState(null, "", location.pathname);
}
