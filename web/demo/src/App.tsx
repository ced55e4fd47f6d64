/** The states of the page, in the order in which a person meets them. */

import { type SignInArgs, SsoBoxProvider, useSsoBox } from "@sso-box/react";
import { useCallback, useEffect, useRef, useState } from "react";
import { useAuth } from "react-oidc-context";
import { type Boot, boot } from "./boot.js";
import { Home } from "./Home.js";
import { loginEnded } from "./me.js";
import { Failure, Loading, Welcome } from "./states.js";
import { who } from "./who.js";

export function App() {
  const [ready, setReady] = useState<Boot>();
  const [error, setError] = useState<unknown>();
  const start = useCallback(() => {
    setError(undefined);
    boot().then(setReady, setError);
  }, []);
  useEffect(start, [start]);
  if (error) {
    return (
      <Failure title="The service cannot be reached" onRetry={start}>
        Your files are safe; the page cannot get to them right now.
      </Failure>
    );
  }
  if (!ready) return <Loading what="Getting ready" />;
  const { addresses, config, users } = ready;
  return (
    <SsoBoxProvider
      userManager={users}
      baseUrl={addresses.api}
      boxOrigins={[addresses.box]}
      nonceProof={config.providers[0]?.nonce_proof ?? false}
    >
      <Gate addresses={addresses} />
    </SsoBoxProvider>
  );
}

function Gate({ addresses }: Pick<Boot, "addresses">) {
  const { isLoading, user, error } = useAuth();
  const { loginRequired } = useSsoBox();
  const login = useLogin();
  const name = user?.profile.name ?? user?.profile.sub;
  useEffect(() => {
    if (name && !loginRequired) who.set(name);
    if (loginRequired) who.forget();
  }, [name, loginRequired]);
  if (login.error) {
    return (
      <Failure title="The login cannot be reached" onRetry={login.again}>
        Your company's login does not answer. Please try again in a moment.
      </Failure>
    );
  }
  if (isLoading || login.isReturning) return <Loading what="Signing you in" />;
  if (loginRequired) {
    return <Welcome notice={loginEnded(loginRequired)} onSignIn={login.start} />;
  }
  if (!user) {
    const isNews = error && !/login_required/.test(error.message);
    const notice = isNews ? "The login came to nothing. Please try again." : undefined;
    return <Welcome notice={notice} onSignIn={login.start} />;
  }
  return <Home addresses={addresses} />;
}

/** Leaving for the login, and coming back by oneself after a reload. */
function useLogin() {
  const { isLoading, user, error: refusal } = useAuth();
  const { signIn } = useSsoBox();
  const [error, setError] = useState<unknown>();
  const [isLeaving, setLeaving] = useState(false);
  const leave = useCallback(
    (args?: SignInArgs) => {
      setError(undefined);
      setLeaving(true);
      signIn(args)
        // It ends where the person comes back to this page in the history.
        .then(who.forget, setError)
        .finally(() => setLeaving(false));
    },
    [signIn],
  );
  const hint = who.get();
  const wantsBack = !isLoading && !user && !refusal && hint !== null;
  const again = useCallback(() => {
    leave(hint === null ? undefined : { prompt: "none", login_hint: hint });
  }, [leave, hint]);
  const hasTried = useRef(false);
  useEffect(() => {
    if (!wantsBack || hasTried.current) return;
    hasTried.current = true;
    again();
  }, [wantsBack, again]);
  const start = useCallback(() => {
    who.forget();
    leave();
  }, [leave]);
  return { start, again, error, isReturning: isLeaving || (wantsBack && !error) };
}
