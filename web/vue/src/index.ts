export type { SignInArgs } from "@sso-box/client/oidc";
export {
  type Asked,
  type MeOptions,
  useAsked,
  useElementsToken,
  useMe,
} from "./composables.js";
export {
  createSsoBoxPlugin,
  type SsoBoxContext,
  type SsoBoxPluginOptions,
  useSsoBox,
} from "./plugin.js";
