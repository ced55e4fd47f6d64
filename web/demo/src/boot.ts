/** What the page has to know before it can show anything: addresses, then providers. */

import { type Config, createSsoBox } from "@sso-box/client";
import { InMemoryWebStorage, UserManager, WebStorageStateStore } from "oidc-client-ts";

export interface Addresses {
  readonly api: string;
  readonly box: string;
  readonly idp: string;
  /** Box's own previews come from Box's CDN: for real deployments, untested here. */
  readonly boxPreview?: boolean;
}

export interface Boot {
  readonly addresses: Addresses;
  readonly config: Config;
  readonly users: UserManager;
}

export async function boot(): Promise<Boot> {
  const addresses: Addresses = await (await fetch("/config.json")).json();
  const getIdToken = async () => null;
  const config = await createSsoBox({ baseUrl: addresses.api, getIdToken }).config();
  return { addresses, config, users: userManager(config) };
}

function userManager({ providers }: Config): UserManager {
  const [provider] = providers;
  if (!provider) throw new Error("The service has no provider.");
  // This page, wherever it lies on its server.
  const here = `${location.origin}${location.pathname}`;
  return new UserManager({
    authority: provider.issuer,
    client_id: provider.client_id,
    redirect_uri: here,
    post_logout_redirect_uri: here,
    scope: provider.scopes.join(" "),
    // Tokens die with the page. What is stored is PKCE's secret, until the login is back.
    userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
    stateStore: new WebStorageStateStore({ store: sessionStorage }),
    // The client asks for a new ID token when it needs one.
    automaticSilentRenew: false,
  });
}
