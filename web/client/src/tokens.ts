/** Box tokens, kept in memory for as long as they live. */

export interface Ask {
  readonly profile?: string | undefined;
  /** Fewer scopes than the profile holds. */
  readonly scope?: readonly string[] | undefined;
  /** `file:ID` or `folder:ID`, `file_ID` or `folder_ID`. */
  readonly resource?: string | undefined;
}

export interface BoxToken {
  readonly accessToken: string;
  /** By this machine's clock, in milliseconds since 1970. */
  readonly expiresAt: number;
  readonly scope: readonly string[];
  readonly resource: string | null;
  readonly boxUserId: string;
}

/** Gets a token from the service; `rejected` is one that Box no longer takes. */
export type Vend = (ask: Ask, rejected: string | undefined) => Promise<BoxToken>;

interface Entry {
  readonly key: string;
  readonly ask: Ask;
  token?: BoxToken;
  /** From here on a request starts a renewal behind it. */
  renewFrom: number;
  flight?: Promise<BoxToken> | undefined;
  rejected?: string | undefined;
  /** The one before: what was sent with it may be refused only now. */
  former?: string | undefined;
}

// A token with less left could die on its way to Box.
const LAST_USE_MS = 15_000;
// The service renews in its last ten minutes, so that asking in the last five is enough.
const RENEW_AHEAD_MS = 300_000;
// The service answers the first of these with the old token and renews behind it.
const RENEW_AGAIN_MS = 30_000;

export class Tokens {
  readonly #vend: Vend;
  #entries = new Map<string, Entry>();
  #owner: string | undefined;

  constructor(vend: Vend) {
    this.#vend = vend;
  }

  async get(ask: Ask): Promise<BoxToken> {
    const entry = this.#entry(ask);
    const { token } = entry;
    if (!token || Date.now() >= token.expiresAt - LAST_USE_MS) {
      return this.#fly(entry);
    }
    if (entry.rejected === token.accessToken) return this.#fly(entry);
    if (Date.now() >= entry.renewFrom) {
      entry.renewFrom = Date.now() + RENEW_AGAIN_MS;
      // What fails behind a good token shows when the token ends.
      this.#fly(entry).catch(() => undefined);
    }
    return token;
  }

  /** Box answered 401 to this one: the next `get` of what is returned asks for another. */
  reject(accessToken: string): Ask | undefined {
    let ask: Ask | undefined;
    // All of them: the service has one token for what was asked in several ways.
    for (const entry of this.#entries.values()) {
      const isPresent = entry.token?.accessToken === accessToken;
      if (isPresent) entry.rejected = accessToken;
      if (isPresent || entry.former === accessToken) ask ??= entry.ask;
    }
    return ask;
  }

  /** Forget all; what is under way is handed out, but not kept. */
  clear(): void {
    this.#entries = new Map();
    this.#owner = undefined;
  }

  #entry(ask: Ask): Entry {
    const scope = ask.scope && [...new Set(ask.scope)].sort();
    const key = JSON.stringify([ask.profile, scope, ask.resource]);
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = { key, ask: { ...ask, scope }, renewFrom: 0 };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  async #fly(entry: Entry): Promise<BoxToken> {
    entry.flight ??= this.#fetch(entry).finally(() => {
      entry.flight = undefined;
    });
    return entry.flight;
  }

  async #fetch(entry: Entry): Promise<BoxToken> {
    for (;;) {
      const told = entry.rejected;
      const token = await this.#vend(entry.ask, told);
      // Rejected while this was under way, so that the service did not know yet.
      if (entry.rejected !== told && entry.rejected === token.accessToken) continue;
      this.#keep(entry, token);
      return token;
    }
  }

  #keep(entry: Entry, token: BoxToken): void {
    // Forgotten meanwhile.
    if (this.#entries.get(entry.key) !== entry) return;
    if (this.#owner !== undefined && this.#owner !== token.boxUserId) {
      // Somebody else has signed in: nothing of the person before may be handed out.
      this.#entries = new Map([[entry.key, entry]]);
    }
    this.#owner = token.boxUserId;
    if (entry.token?.accessToken !== token.accessToken) {
      const left = token.expiresAt - Date.now();
      entry.renewFrom = token.expiresAt - Math.min(RENEW_AHEAD_MS, left / 2);
      entry.former = entry.token?.accessToken;
    }
    entry.token = token;
    entry.rejected = undefined;
  }
}
