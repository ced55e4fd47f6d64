/** Calls to the service: who asks, and what happens when it wants to know anew. */

import {
  errorOf,
  LoginRequired,
  notSignedIn,
  type SsoBoxError,
  unreachable,
} from "./errors.js";

export type GetIdToken = (options: {
  /** True: the present one was refused, only a new one is of use. */
  readonly fresh: boolean;
}) => Promise<string | null | undefined>;

export interface ServiceOptions {
  /** Where the service is, such as `https://box.example.com`. */
  readonly baseUrl: string;
  /** The ID token of whoever is signed in; nothing if nobody is. */
  readonly getIdToken: GetIdToken;
  /** The person has to log in: called once until an answer is good again. */
  readonly onLoginRequired?: ((error: LoginRequired) => void) | undefined;
}

type Body = Readonly<Record<string, unknown>>;

export interface Call {
  readonly method?: string;
  readonly body?: () => Promise<Body>;
  /** The code of a refusal that says: this was done before. */
  readonly doneBefore?: string;
}

// Longer than the service lets a first login wait, so that the service decides.
const TIMEOUT_MS = 30_000;
const FIRST_LOGIN_TRIES = 4;
// Many proxies cut headers at 8 KiB; the token route takes long ones in the body.
const LONGEST_IN_HEADER = 7000;
// A silent renewal cannot help with these, and must not undo a sign-out.
const NEEDS_A_LOGIN = new Set(["signed_out", "step_up_required"]);

export class Service {
  readonly #base: string;
  readonly #options: ServiceOptions;
  #renewal: Promise<string | null | undefined> | undefined;
  #saidSo = false;
  /** How often somebody has signed in or out: whose call it is. */
  #turn = 0;

  constructor(options: ServiceOptions) {
    this.#base = options.baseUrl.replace(/\/+$/, "");
    this.#options = options;
  }

  /** As the person who is signed in; after a 401 once more with a new ID token. */
  async ask<T>(path: string, call: Call = {}): Promise<T> {
    const turn = this.#turn;
    try {
      const answer = await this.#patiently(() => this.#asPerson<T>(path, call, turn));
      this.#saidSo = false;
      return answer;
    } catch (error) {
      const isNews = turn === this.#turn && !this.#saidSo;
      if (error instanceof LoginRequired && isNews) {
        this.#saidSo = true;
        this.#options.onLoginRequired?.(error);
      }
      throw error;
    }
  }

  /** Somebody has signed in or out: what is under way does not go on as the next one. */
  forget(): void {
    this.#turn += 1;
    this.#saidSo = false;
    this.#renewal = undefined;
  }

  /** What needs nobody to be signed in. */
  async askOpenly<T>(path: string): Promise<T> {
    return this.#send<T>(path, {});
  }

  /** A first login can take longer than the service lets one request wait. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    for (let left = FIRST_LOGIN_TRIES; ; left -= 1) {
      try {
        return await attempt();
      } catch (error) {
        const { code, retryAfter = 5 } = error as Partial<SsoBoxError>;
        if (code !== "provisioning_in_progress" || left === 1) throw error;
        await new Promise((wake) => setTimeout(wake, retryAfter * 1000));
      }
    }
  }

  async #asPerson<T>(path: string, call: Call, turn: number): Promise<T> {
    const body = await call.body?.();
    const idToken = await this.#options.getIdToken({ fresh: false });
    if (!idToken || turn !== this.#turn) throw notSignedIn();
    try {
      return await this.#send<T>(path, call, idToken, body);
    } catch (error) {
      if (!(error instanceof LoginRequired) || NEEDS_A_LOGIN.has(error.code)) {
        throw error;
      }
      if (turn !== this.#turn) throw notSignedIn();
      const fresh = await this.#freshIdToken();
      if (turn !== this.#turn) throw notSignedIn();
      if (!fresh) throw error;
      return await this.#send<T>(path, call, fresh, body);
    }
  }

  /** One renewal for all who ask meanwhile: a refresh token may be used only once. */
  async #freshIdToken(): Promise<string | null | undefined> {
    if (this.#renewal) return this.#renewal;
    const renewal = this.#options.getIdToken({ fresh: true }).finally(() => {
      if (this.#renewal === renewal) this.#renewal = undefined;
    });
    this.#renewal = renewal;
    return renewal;
  }

  async #send<T>(path: string, call: Call, idToken?: string, asked?: Body): Promise<T> {
    const headers = new Headers({ Accept: "application/json" });
    let body = asked;
    if (idToken !== undefined) {
      if (body && idToken.length > LONGEST_IN_HEADER) {
        body = { ...body, id_token: idToken };
      } else {
        headers.set("Authorization", `Bearer ${idToken}`);
      }
    }
    if (body) headers.set("Content-Type", "application/json");
    const answer = await fetch(`${this.#base}${path}`, {
      method: call.method ?? "GET",
      headers,
      body: body ? JSON.stringify(body) : null,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((error) => {
      throw unreachable("service_unreachable", error);
    });
    if (!answer.ok) {
      const error = await errorOf(answer);
      if (error.code === call.doneBefore) return undefined as T;
      throw error;
    }
    if (answer.status === 204) return undefined as T;
    return (await answer.json().catch(() => {
      throw unreachable("service_unreachable");
    })) as T;
  }
}
