/** What Box UI Elements take: a token function, and what makes them outlive a token. */

import type { Ask, Tokens } from "./tokens.js";

export interface ElementsOptions extends Omit<Ask, "resource"> {
  /** A token for each file and folder by itself; each one counts against a limit. */
  readonly perItem?: boolean;
}

/** What they take as `token`. */
export interface ElementsToken {
  (typedId: string): Promise<string>;
  (typedIds: readonly string[]): Promise<Record<string, string>>;
}

/** What they send with, as far as it concerns us: a request of their own axios. */
interface ElementsRequest {
  headers: Record<string, unknown>;
  adapter?: unknown;
}

/** What they take as `requestInterceptor`. */
export type ElementsInterceptor = <Request extends ElementsRequest>(
  request: Request,
) => Request;

type Send = (request: ElementsRequest) => Promise<unknown>;

export function elementsToken(
  tokens: Tokens,
  { perItem, ...ask }: ElementsOptions = {},
): ElementsToken {
  async function token(typedId: string): Promise<string> {
    const found = await tokens.get(perItem ? { ...ask, resource: typedId } : ask);
    return found.accessToken;
  }
  async function both(ids: string | readonly string[]) {
    if (typeof ids === "string") return token(ids);
    return Object.fromEntries(
      await Promise.all(ids.map(async (id) => [id, await token(id)] as const)),
    );
  }
  return both as ElementsToken;
}

/** They give up at a 401; this goes round the sending of each of their requests. */
export function elementsInterceptor(tokens: Tokens): ElementsInterceptor {
  return (request) => {
    const send = request.adapter;
    if (typeof send !== "function") return request;
    const adapter = (sent: ElementsRequest) => sendTwice(tokens, send as Send, sent);
    return { ...request, adapter };
  };
}

async function sendTwice(
  tokens: Tokens,
  send: Send,
  request: ElementsRequest,
): Promise<unknown> {
  try {
    return await send(request);
  } catch (error) {
    const { response } = error as { response?: { status?: number } };
    if (response?.status !== 401) throw error;
    const bearer = String(request.headers.Authorization).replace("Bearer ", "");
    const ask = tokens.reject(bearer);
    // A token that is not ours any more, after a sign-out for example.
    if (!ask) throw error;
    const { accessToken } = await tokens.get(ask);
    request.headers.Authorization = `Bearer ${accessToken}`;
    return send(request);
  }
}
