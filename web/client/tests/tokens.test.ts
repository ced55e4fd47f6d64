import { beforeEach, describe, expect, test, vi } from "vitest";
import { createSsoBox, type SsoBox } from "../src/index.js";
import { held, problem, token, Wire } from "./wire.js";

const MINUTE = 60_000;

let wire: Wire;
let box: SsoBox;
let counter: number;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  counter = 0;
  wire = new Wire(() => token(`box-${++counter}`));
  box = createSsoBox({
    baseUrl: "https://service.example/",
    getIdToken: async () => "id-token",
  });
  return () => vi.useRealTimers();
});

async function present(): Promise<string> {
  return (await box.boxToken()).accessToken;
}

describe("caching", () => {
  test("a token is asked for once and kept", async () => {
    expect(await present()).toBe("box-1");
    await vi.advanceTimersByTimeAsync(50 * MINUTE);
    expect(await present()).toBe("box-1");
    expect(wire.sent).toHaveLength(1);
    expect(wire.last).toMatchObject({
      method: "POST",
      url: "https://service.example/v1/token",
      body: {},
    });
    expect(wire.last.headers.get("Authorization")).toBe("Bearer id-token");
  });

  test("its end is reckoned by the time left, not by the service's clock", async () => {
    const { expiresAt } = await box.boxToken();
    expect(expiresAt).toBe(1_000_000 + 3600 * 1000);
  });

  test("an expired token is never handed out", async () => {
    await present();
    await vi.advanceTimersByTimeAsync(60 * MINUTE - 10_000);
    expect(await present()).toBe("box-2");
  });

  test("profile, scope and resource each have a token of their own", async () => {
    await box.boxToken("explorer");
    await box.boxToken("preview");
    await box.boxToken("preview", { resource: "file:1" });
    await box.boxToken("preview", { scope: ["b", "a"] });
    expect(wire.sent.map((sent) => sent.body)).toEqual([
      { profile: "explorer" },
      { profile: "preview" },
      { profile: "preview", resource: "file:1" },
      { profile: "preview", scope: ["a", "b"] },
    ]);
  });

  test("the order of scopes makes no other token", async () => {
    await box.boxToken("preview", { scope: ["b", "a"] });
    await box.boxToken("preview", { scope: ["a", "b", "a"] });
    expect(wire.sent).toHaveLength(1);
  });

  test("after clear nothing is remembered", async () => {
    await present();
    box.clear();
    expect(await present()).toBe("box-2");
  });

  test("what was under way at clear is not kept", async () => {
    const late = held(() => token("theirs", { box_user_id: "6" }));
    wire.once(late.answer);
    const asked = present();
    await vi.advanceTimersByTimeAsync(0);
    box.clear();
    expect(await present()).toBe("box-1");
    late.letGo();
    expect(await asked).toBe("theirs");
    expect(await present()).toBe("box-1");
  });

  test("nothing of another Box user is handed out", async () => {
    await box.boxToken("explorer");
    wire.once(() => token("second person's", { box_user_id: "8" }));
    await box.boxToken("preview");
    expect((await box.boxToken("explorer")).accessToken).toBe("box-2");
    expect((await box.boxToken("preview")).accessToken).toBe("box-3");
  });

  test("a failure is not kept", async () => {
    wire.once(() => problem(503, "box_unavailable"));
    await expect(present()).rejects.toMatchObject({ code: "box_unavailable" });
    expect(await present()).toBe("box-1");
  });
});

describe("single flight", () => {
  test("many at once ask once", async () => {
    const got = await Promise.all([present(), present(), present()]);
    expect(got).toEqual(["box-1", "box-1", "box-1"]);
    expect(wire.sent).toHaveLength(1);
  });

  test("many at once all hear of a failure", async () => {
    wire.once(() => problem(403, "account_locked"));
    const got = await Promise.allSettled([present(), present()]);
    expect(got.map((each) => each.status)).toEqual(["rejected", "rejected"]);
    expect(wire.sent).toHaveLength(1);
  });
});

describe("renewal", () => {
  test("near its end the present token is handed out and one renewal starts", async () => {
    await present();
    await vi.advanceTimersByTimeAsync(56 * MINUTE);
    expect(await Promise.all([present(), present()])).toEqual(["box-1", "box-1"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(await present()).toBe("box-2");
    expect(wire.sent).toHaveLength(2);
  });

  test("where the service still has the old one, it is asked again later", async () => {
    await present();
    await vi.advanceTimersByTimeAsync(56 * MINUTE);
    wire.once(() => token("box-1", { expires_in: 240 }));
    await present();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await present()).toBe("box-1");
    expect(wire.sent).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(11_000);
    await present();
    await vi.advanceTimersByTimeAsync(0);
    expect(await present()).toBe("box-2");
    expect(wire.sent).toHaveLength(3);
  });

  test("a renewal that fails disturbs nobody while the token lives", async () => {
    await present();
    await vi.advanceTimersByTimeAsync(56 * MINUTE);
    wire.once(() => problem(503, "box_unavailable"));
    expect(await present()).toBe("box-1");
    await vi.advanceTimersByTimeAsync(1000);
    expect(await present()).toBe("box-1");
  });

  test("nothing is renewed for a page that does not ask", async () => {
    await present();
    await vi.advanceTimersByTimeAsync(300 * MINUTE);
    expect(wire.sent).toHaveLength(1);
  });

  test("a short-lived token is renewed in its second half", async () => {
    wire.once(() => token("short", { expires_in: 60 }));
    await present();
    await vi.advanceTimersByTimeAsync(29_000);
    await present();
    expect(wire.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2000);
    await present();
    await vi.advanceTimersByTimeAsync(0);
    expect(wire.sent).toHaveLength(2);
  });
});

describe("a token that Box rejects", () => {
  // SHA-256 of "box-1".
  const HASH = "96fb257c5fbb68bc";

  test("the next request names it by its hash and gets another", async () => {
    const rejected = await present();
    box.rejectToken(rejected);
    expect(await present()).toBe("box-2");
    expect(wire.last.body.rejected_token_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(wire.last.body.rejected_token_sha256.slice(0, 16)).toBe(HASH);
    expect(JSON.stringify(wire.last.body)).not.toContain(rejected);
  });

  test("it is named once only", async () => {
    box.rejectToken(await present());
    await present();
    await vi.advanceTimersByTimeAsync(61 * MINUTE);
    await present();
    expect(wire.last.body).toEqual({});
  });

  test("it is named again where the request failed", async () => {
    box.rejectToken(await present());
    wire.once(() => problem(503, "box_unavailable"));
    await expect(present()).rejects.toThrow();
    await present();
    expect(wire.last.body).toHaveProperty("rejected_token_sha256");
  });

  test("a renewal from before the rejection is not taken for an answer to it", async () => {
    const first = await present();
    await vi.advanceTimersByTimeAsync(56 * MINUTE);
    const renewal = held(() => token(first));
    wire.once(renewal.answer);
    await present();
    box.rejectToken(first);
    const next = present();
    renewal.letGo();
    expect(await next).toBe("box-2");
    expect(wire.last.body).toHaveProperty("rejected_token_sha256");
  });

  test("what the service insists on is taken", async () => {
    const first = await present();
    box.rejectToken(first);
    wire.once(() => token(first));
    expect(await present()).toBe(first);
    expect(await present()).toBe(first);
    expect(wire.sent).toHaveLength(2);
  });

  test("one that was asked for in two ways is replaced for both", async () => {
    wire.once(
      () => token("dead"),
      () => token("dead"),
    );
    await box.boxToken();
    await box.boxToken("explorer");
    box.rejectToken("dead");
    const [one, other] = [await box.boxToken(), await box.boxToken("explorer")];
    expect([one.accessToken, other.accessToken]).toEqual(["box-1", "box-2"]);
  });

  test("a token that is nobody's any more starts nothing", async () => {
    await present();
    box.rejectToken("some other");
    await present();
    expect(wire.sent).toHaveLength(1);
  });
});
