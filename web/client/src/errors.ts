/** What can go wrong, from the service's problem documents (RFC 9457). */

import type { SchemaProblem } from "./openapi.js";

/** The service's own members; `code` is the one to decide by. */
export type Problem = Pick<SchemaProblem, "code" | "title" | "detail"> &
  Partial<Pick<SchemaProblem, "request_id">> & { readonly status: number };

/** Every failure of this client. No token is ever in it. */
export class SsoBoxError extends Error {
  override readonly name: string = "SsoBoxError";
  /** Stable and documented: docs/api.md, "Errors". */
  readonly code: string;
  /** The HTTP status, 0 where there was no answer. */
  readonly status: number;
  /** For the service's log; absent where the service did not answer. */
  readonly requestId: string | undefined;

  constructor(
    readonly problem: Problem,
    /** Seconds after which another try makes sense. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail);
    this.code = problem.code;
    this.status = problem.status;
    this.requestId = problem.request_id;
  }
}

/** 401: the person has to go through the login. */
export class LoginRequired extends SsoBoxError {
  override readonly name = "LoginRequired";
  /** Seconds, to hand to the login as `max_age` (RFC 9470). */
  readonly maxAge: number | undefined;
  /** To hand to the login as `acr_values` (RFC 9470). */
  readonly acrValues: string | undefined;

  constructor(problem: Problem, challenge = "") {
    super(problem);
    const maxAge = parameter(challenge, "max_age");
    this.maxAge = maxAge === undefined ? undefined : Number(maxAge);
    this.acrValues = parameter(challenge, "acr_values");
  }
}

/** 403: it is known who this is, and the answer is no. Asking again does not help. */
export class Refused extends SsoBoxError {
  override readonly name = "Refused";
}

/** 429, 5xx or no answer: not now. `retryAfter` says when, where that is known. */
export class Unavailable extends SsoBoxError {
  override readonly name = "Unavailable";
}

/** The rest of 4xx: the page asks for something that it should not ask for. */
export class BadRequest extends SsoBoxError {
  override readonly name = "BadRequest";
}

export function notSignedIn(): LoginRequired {
  return new LoginRequired({
    code: "not_signed_in",
    title: "Not signed in",
    detail: "Nobody is signed in to this page.",
    status: 0,
  });
}

/** Of a browser's own error, which says no more than that: it keeps the reason to itself. */
export function unreachable(code: string, cause?: unknown): Unavailable {
  const detail =
    "No answer came: the network or the server may be down, or the server does not" +
    " know the origin of this page.";
  const error = new Unavailable({ code, title: "Unreachable", detail, status: 0 });
  error.cause = cause;
  return error;
}

/** The error that an answer other than 2xx stands for. */
export async function errorOf(answer: Response): Promise<SsoBoxError> {
  const { status } = answer;
  const problem = { ...(await problemOf(answer)), status };
  if (status === 401) {
    return new LoginRequired(
      problem,
      answer.headers.get("WWW-Authenticate") ?? undefined,
    );
  }
  if (status === 403) return new Refused(problem);
  if (status === 429 || status >= 500) {
    // Seconds; of the HTTP-date form, which the service never sends, a proxy's is NaN.
    const seconds = Number(answer.headers.get("Retry-After") ?? Number.NaN);
    return new Unavailable(problem, Number.isFinite(seconds) ? seconds : undefined);
  }
  return new BadRequest(problem);
}

/** A proxy's own page is no problem document, and nothing of it is repeated. */
async function problemOf(answer: Response): Promise<Omit<Problem, "status">> {
  if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    const body: unknown = await answer.json().catch(() => null);
    if (isProblem(body)) return body;
  }
  const detail = `The answer has the status ${answer.status} and is not the service's.`;
  return { code: "unexpected_answer", title: "Unexpected answer", detail };
}

function isProblem(body: unknown): body is SchemaProblem {
  const named = body as Partial<Record<string, unknown>> | null;
  return ["code", "title", "detail"].every((key) => typeof named?.[key] === "string");
}

function parameter(challenge: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(challenge)?.[1];
}
