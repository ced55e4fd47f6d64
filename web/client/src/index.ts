/**
 * Box tokens for a page whose people sign in with the company's SSO.
 *
 * Everything is kept in memory: no token goes into a storage, a URL or an error.
 */

import {
  type ElementsInterceptor,
  type ElementsOptions,
  type ElementsToken,
  elementsInterceptor,
  elementsToken,
} from "./elements.js";
import { sha256Hex } from "./encoding.js";
import { unreachable } from "./errors.js";
import type {
  SchemaConfigResponse,
  SchemaMeResponse,
  SchemaTokenRequest,
  SchemaTokenResponse,
} from "./openapi.js";
import { Service, type ServiceOptions } from "./service.js";
import { type Ask, type BoxToken, Tokens } from "./tokens.js";

export type {
  ElementsInterceptor,
  ElementsOptions,
  ElementsToken,
} from "./elements.js";
export {
  BadRequest,
  LoginRequired,
  type Problem,
  Refused,
  SsoBoxError,
  Unavailable,
} from "./errors.js";
export { createNonceProof, type NonceProof } from "./nonce.js";
export type { GetIdToken } from "./service.js";
export type { BoxToken } from "./tokens.js";

/** Who is signed in, and the Box user; from `GET /v1/me`. */
export type Me = SchemaMeResponse;
/** Providers and profiles; from `GET /v1/config`. */
export type Config = SchemaConfigResponse;

export interface SsoBoxOptions extends ServiceOptions {
  /** The secret behind the login's nonce, where the provider demands the proof. */
  readonly getNonceVerifier?: () => Promise<string | undefined>;
  /** Where `boxFetch` may send a token, beside Box itself. */
  readonly boxOrigins?: readonly string[];
}

/** Narrows a token below what its profile holds. */
export type Narrowing = Omit<Ask, "profile">;

export interface SsoBox {
  /** A live token; from memory where there is one. */
  boxToken(profile?: string, narrowing?: Narrowing): Promise<BoxToken>;
  /** `fetch` to Box with a token; where Box says 401, once more with another one. */
  boxFetch(url: string | URL, init?: RequestInit, ask?: Ask): Promise<Response>;
  /** The function that Box UI Elements call with `file_1`, `folder_1`, or several. */
  elementsToken(options?: ElementsOptions): ElementsToken;
  /** Their `requestInterceptor`: where Box says 401, once more with another token. */
  readonly elementsInterceptor: ElementsInterceptor;
  /** For code that calls Box by itself: Box answered 401 to this token. */
  rejectToken(accessToken: string): void;
  me(): Promise<Me>;
  config(): Promise<Config>;
  /** End every Box token of this person, on all devices. */
  signOutEverywhere(): Promise<void>;
  /** Forget all tokens: to be called when the person signs in or out of this page. */
  clear(): void;
}

// What is undefined does not reach the body.
type TokenRequest = {
  [Member in keyof SchemaTokenRequest]: SchemaTokenRequest[Member] | undefined;
};

const BOX_ORIGINS = ["https://api.box.com", "https://upload.box.com"];

export function createSsoBox(options: SsoBoxOptions): SsoBox {
  const service = new Service(options);
  const tokens = new Tokens(async (ask, rejected) => {
    const body = async (): Promise<TokenRequest> => ({
      profile: ask.profile,
      scope: ask.scope,
      resource: ask.resource,
      nonce_verifier: await options.getNonceVerifier?.(),
      rejected_token_sha256: rejected && (await sha256Hex(rejected)),
    });
    const path = "/v1/token";
    return read(await service.ask<SchemaTokenResponse>(path, { method: "POST", body }));
  });
  const origins = new Set([...BOX_ORIGINS, ...(options.boxOrigins ?? [])]);

  async function boxFetch(
    url: string | URL,
    init: RequestInit = {},
    ask: Ask = {},
  ): Promise<Response> {
    const { origin, href } = new URL(url);
    if (!origins.has(origin)) {
      throw new TypeError("boxFetch sends a token to Box alone; see boxOrigins");
    }
    const first = await tokens.get(ask);
    const answer = await fetchWith(first, href, init);
    if (answer.status !== 401 || !tokens.reject(first.accessToken)) return answer;
    return fetchWith(await tokens.get(ask), href, init);
  }

  function clear(): void {
    tokens.clear();
    service.forget();
  }

  return {
    boxToken: (profile, narrowing) => tokens.get({ ...narrowing, profile }),
    boxFetch,
    elementsToken: (asked) => elementsToken(tokens, asked),
    elementsInterceptor: elementsInterceptor(tokens),
    rejectToken: (accessToken) => void tokens.reject(accessToken),
    me: () => service.ask("/v1/me"),
    config: () => service.askOpenly("/v1/config"),
    async signOutEverywhere() {
      // After a lost answer the second try is refused, as every earlier login is.
      const call = { method: "DELETE", doneBefore: "signed_out" };
      await service.ask("/v1/tokens", call);
      clear();
    },
    clear,
  };
}

function read(answer: SchemaTokenResponse): BoxToken {
  return {
    accessToken: answer.access_token,
    // The time left, not expires_at: the page's clock may be off.
    expiresAt: Date.now() + answer.expires_in * 1000,
    scope: answer.scope,
    resource: answer.resource,
    boxUserId: answer.box_user_id,
  };
}

async function fetchWith(
  token: BoxToken,
  url: string,
  init: RequestInit,
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${token.accessToken}`);
  const sent = fetch(url, { ...init, headers, credentials: "omit" });
  return sent.catch((error) => {
    throw init.signal?.aborted ? error : unreachable("box_unreachable", error);
  });
}
