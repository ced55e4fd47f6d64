/** The other end of the wire: every request is recorded, and answered as told. */

import { vi } from "vitest";
import type { SchemaTokenResponse } from "../src/openapi.js";

export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test knows what it looks for
  readonly body: any;
}

type Answer = (sent: Sent) => Response | Promise<Response>;

export class Wire {
  readonly sent: Sent[] = [];
  #answers: Answer[] = [];

  /** Every request that no `once` answers is answered so. */
  constructor(public always: Answer) {
    vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
      const text = typeof init.body === "string" ? init.body : null;
      const sent: Sent = {
        method: init.method ?? "GET",
        url,
        headers: new Headers(init.headers),
        body: text && JSON.parse(text),
      };
      this.sent.push(sent);
      return (this.#answers.shift() ?? this.always)(sent);
    });
  }

  once(...answers: Answer[]): void {
    this.#answers.push(...answers);
  }

  get last(): Sent {
    const last = this.sent.at(-1);
    if (!last) throw new Error("nothing was sent");
    return last;
  }
}

export function token(
  accessToken: string,
  members: Partial<SchemaTokenResponse> = {},
): Response {
  return Response.json({
    access_token: accessToken,
    token_type: "bearer",
    expires_in: 3600,
    expires_at: "2000-01-01T00:00:00Z", // never to be read: the clocks may differ
    scope: ["base_explorer"],
    resource: null,
    box_user_id: "7",
    ...members,
  } satisfies SchemaTokenResponse);
}

export function problem(
  status: number,
  code: string,
  headers: Record<string, string> = {},
): Response {
  const body = {
    type: `urn:problem-type:sso-box-api:${code}`,
    title: "A title",
    status,
    detail: "A sentence for people.",
    code,
    request_id: "request-1",
  };
  const type = { "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...type, ...headers },
  });
}

/** An answer that comes when it is let go. */
export function held(answer: () => Response): { answer: Answer; letGo: () => void } {
  let letGo = () => {};
  const gate = new Promise<void>((open) => {
    letGo = open;
  });
  return { answer: () => gate.then(answer), letGo };
}

/** The bytes of a SHA-256, and of a base64url text, as numbers. */
export async function sha256(text: string): Promise<number[]> {
  const bytes = new TextEncoder().encode(text);
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))];
}

export function bytesOf(base64Url: string): number[] {
  const plain = atob(base64Url.replaceAll("-", "+").replaceAll("_", "/"));
  return [...plain].map((each) => each.charCodeAt(0));
}
