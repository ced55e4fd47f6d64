export type { SignInArgs } from "@sso-box/client/oidc";
export {
  type Asked,
  type MeOptions,
  useAsked,
  useElementsToken,
  useMe,
} from "./hooks.js";
export {
  type SsoBoxContext,
  SsoBoxProvider,
  type SsoBoxProviderProps,
  useSsoBox,
} from "./provider.js";
