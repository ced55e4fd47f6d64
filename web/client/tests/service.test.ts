import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  BadRequest,
  createNonceProof,
  createSsoBox,
  LoginRequired,
  Refused,
  type SsoBoxOptions,
  Unavailable,
} from "../src/index.js";
import { bytesOf, held, problem, sha256, token, Wire } from "./wire.js";

const INVALID = { "WWW-Authenticate": 'Bearer realm="x", error="invalid_token"' };

let wire: Wire;

beforeEach(() => {
  wire = new Wire((sent) =>
    sent.url.endsWith("/v1/token") ? token("box-1") : Response.json({}),
  );
});

function page(options: Partial<SsoBoxOptions> = {}) {
  const getIdToken = vi.fn(async ({ fresh }: { fresh: boolean }) =>
    fresh ? "fresh" : "old",
  );
  const onLoginRequired = vi.fn();
  const box = createSsoBox({
    baseUrl: "https://service.example",
    getIdToken,
    onLoginRequired,
    ...options,
  });
  return { box, getIdToken, onLoginRequired };
}

function bearers(): (string | null)[] {
  return wire.sent.map((sent) => sent.headers.get("Authorization"));
}

describe("401 of the service", () => {
  test("it asks once more with a fresh ID token", async () => {
    const { box, getIdToken, onLoginRequired } = page();
    wire.once(() => problem(401, "token_expired", INVALID));
    await box.boxToken();
    expect(bearers()).toEqual(["Bearer old", "Bearer fresh"]);
    expect(getIdToken.mock.calls).toEqual([[{ fresh: false }], [{ fresh: true }]]);
    expect(onLoginRequired).not.toHaveBeenCalled();
  });

  test("a second 401 is said to the page, and not tried again", async () => {
    const { box, onLoginRequired } = page();
    wire.always = () => problem(401, "token_audience", INVALID);
    await expect(box.boxToken()).rejects.toBeInstanceOf(LoginRequired);
    expect(wire.sent).toHaveLength(2);
    expect(onLoginRequired).toHaveBeenCalledOnce();
    expect(onLoginRequired.mock.calls[0]?.[0]).toMatchObject({
      code: "token_audience",
    });
  });

  test("without a fresh ID token the page is told at once", async () => {
    const { box, onLoginRequired } = page({
      getIdToken: async ({ fresh }) => (fresh ? null : "old"),
    });
    wire.always = () => problem(401, "token_expired", INVALID);
    await expect(box.me()).rejects.toBeInstanceOf(LoginRequired);
    expect(wire.sent).toHaveLength(1);
    expect(onLoginRequired).toHaveBeenCalledOnce();
  });

  test("with nobody signed in nothing is sent", async () => {
    const { box, onLoginRequired } = page({ getIdToken: async () => null });
    await expect(box.boxToken()).rejects.toMatchObject({ code: "not_signed_in" });
    expect(wire.sent).toHaveLength(0);
    expect(onLoginRequired).toHaveBeenCalledOnce();
  });

  test.each(["signed_out", "step_up_required"])(
    "%s is no matter of a fresh token: only a login helps",
    async (code) => {
      const { box, getIdToken, onLoginRequired } = page();
      const challenge =
        'Bearer realm="x", error="insufficient_user_authentication", max_age="0", acr_values="mfa hw"';
      wire.always = () => problem(401, code, { "WWW-Authenticate": challenge });
      await expect(box.boxToken()).rejects.toMatchObject({
        maxAge: 0,
        acrValues: "mfa hw",
      });
      expect(getIdToken).toHaveBeenCalledOnce();
      expect(onLoginRequired).toHaveBeenCalledOnce();
    },
  );

  test("several that fail at once renew the ID token once", async () => {
    const { box, getIdToken } = page();
    wire.once(
      () => problem(401, "token_expired", INVALID),
      () => problem(401, "token_expired", INVALID),
    );
    await Promise.all([box.boxToken("explorer"), box.boxToken("preview")]);
    expect(getIdToken.mock.calls.filter(([{ fresh }]) => fresh)).toHaveLength(1);
  });

  test("the page is told once, until an answer was good again", async () => {
    const { box, onLoginRequired } = page();
    wire.once(...Array(4).fill(() => problem(401, "signed_out")));
    await Promise.allSettled([box.boxToken("explorer"), box.boxToken("preview")]);
    await box.me().catch(() => undefined);
    expect(onLoginRequired).toHaveBeenCalledOnce();
    await box.me().catch(() => undefined);
    await box.me();
    wire.once(() => problem(401, "signed_out"));
    await box.me().catch(() => undefined);
    expect(onLoginRequired).toHaveBeenCalledTimes(2);
  });

  test("the page is told again of the next login, however it ends", async () => {
    const { box, onLoginRequired } = page();
    wire.always = () => problem(401, "signed_out");
    await box.me().catch(() => undefined);
    box.clear();
    await box.me().catch(() => undefined);
    expect(onLoginRequired).toHaveBeenCalledTimes(2);
  });
});

describe("error types", () => {
  test.each([
    [403, "account_locked", Refused],
    [422, "unknown_profile", BadRequest],
    [404, "not_found", BadRequest],
    [429, "too_many_bad_tokens", Unavailable],
    [502, "box_refused", Unavailable],
    [503, "box_unavailable", Unavailable],
    [401, "signed_out", LoginRequired],
  ])("%i %s has its class, code and request id", async (status, code, type) => {
    wire.always = () => problem(status, code);
    const error = await page()
      .box.boxToken()
      .catch((e) => e);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({
      status,
      code,
      requestId: "request-1",
      message: "A sentence for people.",
    });
  });

  test("Retry-After is told in seconds", async () => {
    wire.always = () => problem(503, "box_unavailable", { "Retry-After": "7" });
    await expect(page().box.boxToken()).rejects.toMatchObject({ retryAfter: 7 });
  });

  test("a Retry-After that is a date is left alone", async () => {
    const date = "Wed, 21 Oct 2026 07:28:00 GMT";
    wire.always = () => problem(503, "box_unavailable", { "Retry-After": date });
    await expect(page().box.boxToken()).rejects.toMatchObject({
      retryAfter: undefined,
    });
  });

  test("a proxy's page is an unexpected answer, and not repeated", async () => {
    const html = { "Content-Type": "text/html" };
    wire.always = () => new Response("<h1>secret</h1>", { status: 502, headers: html });
    const error = await page()
      .box.boxToken()
      .catch((e) => e);
    expect(error).toMatchObject({ code: "unexpected_answer", status: 502 });
    expect(JSON.stringify(error) + error.message).not.toContain("secret");
  });

  test.each(["null", "[]", '{"code": 1}', "{"])(
    "a broken problem document is an unexpected answer: %s",
    async (body) => {
      const headers = { "Content-Type": "application/problem+json" };
      wire.always = () => new Response(body, { status: 500, headers });
      await expect(page().box.boxToken()).rejects.toMatchObject({
        code: "unexpected_answer",
      });
    },
  );

  test("no answer at all is told apart from a refusal", async () => {
    wire.always = () => Promise.reject(new TypeError("Failed to fetch"));
    const error = await page()
      .box.boxToken()
      .catch((e) => e);
    expect(error).toBeInstanceOf(Unavailable);
    expect(error).toMatchObject({ code: "service_unreachable", status: 0 });
  });

  test("no token stands in an error", async () => {
    wire.always = () => problem(403, "account_locked");
    const { box } = page({ getIdToken: async () => "very-secret" });
    const error = await box.boxToken().catch((e) => e);
    const all = JSON.stringify(error) + error.message + error.stack;
    expect(all).not.toContain("very-secret");
  });
});

describe("a first login that takes long", () => {
  test("is asked for again when the service says", async () => {
    vi.useFakeTimers();
    wire.once(() => problem(503, "provisioning_in_progress", { "Retry-After": "2" }));
    const got = page().box.boxToken();
    await vi.advanceTimersByTimeAsync(1999);
    expect(wire.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect((await got).accessToken).toBe("box-1");
    vi.useRealTimers();
  });

  test("is given up in the end", async () => {
    vi.useFakeTimers();
    wire.always = () => problem(503, "provisioning_in_progress");
    const got = page()
      .box.boxToken()
      .catch((e) => e);
    await vi.runAllTimersAsync();
    expect(await got).toMatchObject({ code: "provisioning_in_progress" });
    expect(wire.sent).toHaveLength(4);
    vi.useRealTimers();
  });
});

describe("what is sent", () => {
  test("a very long ID token goes in the body, past what proxies cut", async () => {
    const long = "x".repeat(8000);
    await page({ getIdToken: async () => long }).box.boxToken();
    expect(wire.last.body.id_token).toBe(long);
    expect(wire.last.headers.has("Authorization")).toBe(false);
  });

  test("the secret of the proof goes with the exchange alone", async () => {
    const { verifier, nonce } = await createNonceProof();
    const { box } = page({ getNonceVerifier: async () => verifier });
    await box.boxToken();
    expect(wire.last.body.nonce_verifier).toBe(verifier);
    expect(verifier).toMatch(/^[\w-]{43}$/);
    expect(bytesOf(nonce)).toEqual(await sha256(verifier));
  });

  test("signing out everywhere forgets the tokens, too", async () => {
    const { box } = page();
    await box.boxToken();
    wire.once(() => new Response(null, { status: 204 }));
    await box.signOutEverywhere();
    expect(wire.last).toMatchObject({
      method: "DELETE",
      url: "https://service.example/v1/tokens",
    });
    await box.boxToken();
    expect(wire.sent).toHaveLength(3);
  });

  test("signing out everywhere once more, after a lost answer, is signed out", async () => {
    const { box, onLoginRequired } = page();
    wire.once(
      () => Promise.reject(new TypeError("Failed to fetch")),
      () => problem(401, "signed_out"),
    );
    await expect(box.signOutEverywhere()).rejects.toMatchObject({
      code: "service_unreachable",
    });
    await box.signOutEverywhere();
    expect(wire.sent.map(({ method }) => method)).toEqual(["DELETE", "DELETE"]);
    expect(onLoginRequired).not.toHaveBeenCalled();
  });

  test("signing out everywhere fails where the login has ended otherwise", async () => {
    const { box, onLoginRequired } = page();
    wire.always = () => problem(401, "token_expired", INVALID);
    await expect(box.signOutEverywhere()).rejects.toBeInstanceOf(LoginRequired);
    expect(onLoginRequired).toHaveBeenCalledOnce();
  });

  test("the configuration is asked for without a token", async () => {
    await page().box.config();
    expect(bearers()).toEqual([null]);
  });
});

describe("boxFetch", () => {
  const URL_AT_BOX = "https://api.box.com/2.0/folders/0";

  test("sends the token, and the caller's own headers", async () => {
    await page().box.boxFetch(URL_AT_BOX, { headers: { "X-Rep-Hints": "[pdf]" } });
    expect(wire.last.headers.get("Authorization")).toBe("Bearer box-1");
    expect(wire.last.headers.get("X-Rep-Hints")).toBe("[pdf]");
  });

  test("on Box's 401 asks for another token and sends once more", async () => {
    wire.once(
      () => token("dead"),
      () => new Response(null, { status: 401 }),
      () => token("alive"),
    );
    const answer = await page().box.boxFetch(URL_AT_BOX);
    expect(answer.status).toBe(200);
    expect(wire.sent[2]?.body).toHaveProperty("rejected_token_sha256");
    expect(bearers().filter((_, n) => n % 2)).toEqual(["Bearer dead", "Bearer alive"]);
  });

  test("what the person before had sent is not sent as the next one", async () => {
    const { box } = page();
    wire.once(
      () => token("dead"),
      () => {
        box.clear();
        return new Response(null, { status: 401 });
      },
    );
    expect((await box.boxFetch(URL_AT_BOX)).status).toBe(401);
    expect(wire.sent).toHaveLength(2);
  });

  test("a second 401 is the caller's", async () => {
    wire.always = (sent) =>
      sent.url.endsWith("/v1/token")
        ? token("dead")
        : new Response(null, { status: 401 });
    expect((await page().box.boxFetch(URL_AT_BOX)).status).toBe(401);
    expect(wire.sent).toHaveLength(4);
  });

  test("an address may be a URL", async () => {
    await page().box.boxFetch(new URL(URL_AT_BOX));
    expect(wire.last.url).toBe(URL_AT_BOX);
  });

  test("Box that does not answer is told apart from the service", async () => {
    const cause = new TypeError("Failed to fetch");
    wire.once(
      () => token("box-1"),
      () => Promise.reject(cause),
    );
    const error = await page()
      .box.boxFetch(URL_AT_BOX)
      .catch((e) => e);
    expect(error).toBeInstanceOf(Unavailable);
    expect(error).toMatchObject({ code: "box_unreachable", status: 0, cause });
  });

  test("a call that the page gave up is not Box's silence", async () => {
    const given = new AbortController();
    wire.once(
      () => token("box-1"),
      () => {
        given.abort();
        return Promise.reject(given.signal.reason);
      },
    );
    await expect(
      page().box.boxFetch(URL_AT_BOX, { signal: given.signal }),
    ).rejects.toMatchObject({ name: "AbortError" });
  });

  test("the token goes to Box alone", async () => {
    const { box } = page({ boxOrigins: ["http://127.0.0.1:8100"] });
    await expect(box.boxFetch("https://api.box.com.evil.example/")).rejects.toThrow(
      TypeError,
    );
    expect(wire.sent).toHaveLength(0);
    await box.boxFetch("http://127.0.0.1:8100/2.0/folders/0");
    expect(wire.sent).toHaveLength(2);
  });
});

describe("elementsInterceptor", () => {
  /** A request as the Elements make it; `statuses` are Box's answers to its sendings. */
  function request(bearer: string, ...statuses: number[]) {
    const sent: unknown[] = [];
    const adapter = async ({ headers }: { headers: Record<string, unknown> }) => {
      sent.push(headers.Authorization);
      const status = statuses.shift();
      if (status !== 200) throw Object.assign(new Error(), { response: { status } });
      return "answer";
    };
    return { sent, config: { headers: { Authorization: bearer }, adapter } };
  }

  test("on Box's 401 sends once more with another token of the same kind", async () => {
    const { box } = page();
    wire.once(
      () => token("dead"),
      () => token("alive"),
    );
    await box.elementsToken({ profile: "preview", perItem: true })("file_1");
    const { sent, config } = request("Bearer dead", 401, 200);
    const ready = box.elementsInterceptor(config);
    expect(await ready.adapter(ready)).toBe("answer");
    expect(sent).toEqual(["Bearer dead", "Bearer alive"]);
    expect(wire.last.body).toMatchObject({ profile: "preview", resource: "file_1" });
    expect(wire.last.body).toHaveProperty("rejected_token_sha256");
  });

  test("a second 401, and any other answer, are the Elements' own", async () => {
    const { box } = page();
    await box.boxToken();
    for (const statuses of [[401, 401], [403]]) {
      const { sent, config } = request("Bearer box-1", ...statuses);
      const ready = box.elementsInterceptor(config);
      await expect(ready.adapter(ready)).rejects.toThrow();
      expect(sent).toHaveLength(statuses.length);
    }
  });

  test("a 401 that comes after another's is not told to the service again", async () => {
    const { box } = page();
    wire.once(
      () => token("dead"),
      () => token("alive"),
    );
    await box.boxToken();
    for (let n = 0; n < 2; n += 1) {
      const { sent, config } = request("Bearer dead", 401, 200);
      const ready = box.elementsInterceptor(config);
      await ready.adapter(ready);
      expect(sent).toEqual(["Bearer dead", "Bearer alive"]);
    }
    expect(wire.sent).toHaveLength(2);
  });

  test("a token that is not ours any more is not tried again", async () => {
    const { sent, config } = request("Bearer of somebody who signed out", 401);
    const ready = page().box.elementsInterceptor(config);
    await expect(ready.adapter(ready)).rejects.toThrow();
    expect(sent).toHaveLength(1);
    expect(wire.sent).toHaveLength(0);
  });

  test("what has no sending of its own is left alone", () => {
    const config = { headers: {} };
    expect(page().box.elementsInterceptor(config)).toBe(config);
  });
});

describe("elementsToken", () => {
  test("one id gets a token, several a table of them", async () => {
    const get = page().box.elementsToken({ profile: "explorer" });
    expect(await get("folder_0")).toBe("box-1");
    expect(await get(["file_1", "folder_2"])).toEqual({
      file_1: "box-1",
      folder_2: "box-1",
    });
    expect(wire.sent.map((sent) => sent.body)).toEqual([{ profile: "explorer" }]);
  });

  test("per item each one is bound to its own", async () => {
    const get = page().box.elementsToken({ profile: "preview", perItem: true });
    await get(["file_1", "file_2"]);
    await get("file_1");
    expect(wire.sent.map((sent) => sent.body.resource)).toEqual(["file_1", "file_2"]);
  });

  test("many calls at once, as the Explorer makes them, ask once", async () => {
    const get = page().box.elementsToken();
    const late = held(() => token("late"));
    wire.once(late.answer);
    const all = Promise.all(["folder_0", "file_1", "file_2"].map((id) => get(id)));
    late.letGo();
    expect(await all).toEqual(["late", "late", "late"]);
    expect(wire.sent).toHaveLength(1);
  });
});
