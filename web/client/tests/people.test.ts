/** Two people in one tab: nothing of the one before reaches the next, nor goes on. */

import { beforeEach, describe, expect, test, vi } from "vitest";
import { createSsoBox, type SsoBox } from "../src/index.js";
import { held, problem, token, Wire } from "./wire.js";

let wire: Wire;
let box: SsoBox;
let person: string;
let getIdToken: (options: { fresh: boolean }) => Promise<string>;
const onLoginRequired = vi.fn();

beforeEach(() => {
  wire = new Wire(({ headers }) =>
    token(`for ${headers.get("Authorization")?.split(" ").at(-1)}`),
  );
  person = "ada";
  getIdToken = async () => person;
  onLoginRequired.mockClear();
  box = createSsoBox({
    baseUrl: "https://service.example",
    getIdToken: (options) => getIdToken(options),
    onLoginRequired,
  });
});

function next(): void {
  person = "grace";
  box.clear();
}

function later<T>() {
  let resolve = (_: T) => {};
  const promise = new Promise<T>((open) => {
    resolve = open;
  });
  return { promise, resolve };
}

function bearers(): (string | null)[] {
  return wire.sent.map(({ headers }) => headers.get("Authorization"));
}

describe("somebody else signs in meanwhile", () => {
  test("a renewal of the person before is not taken for the next one's", async () => {
    const expired = () => problem(401, "token_expired");
    const renewal = later<string>();
    getIdToken = async ({ fresh }) =>
      fresh && person === "ada" ? renewal.promise : person;
    wire.once(expired);
    const adas = box.boxToken().catch((error) => error);
    await vi.waitFor(() => expect(wire.sent).toHaveLength(1));
    next();
    wire.once(expired);
    const graces = box.boxToken();
    await vi.waitFor(() => expect(wire.sent.length).toBeGreaterThan(1));
    renewal.resolve("ada");
    expect((await graces).accessToken).toBe("for grace");
    expect(await adas).toMatchObject({ code: "not_signed_in" });
    expect(bearers()).toEqual(["Bearer ada", "Bearer grace", "Bearer grace"]);
  });

  test("who waited for a first login gets no token of the next one", async () => {
    vi.useFakeTimers();
    wire.once(() => problem(503, "provisioning_in_progress", { "Retry-After": "2" }));
    const adas = box.boxToken().catch((error) => error);
    await vi.advanceTimersByTimeAsync(1000);
    next();
    await vi.advanceTimersByTimeAsync(2000);
    expect(await adas).toMatchObject({ code: "not_signed_in" });
    expect(bearers()).toEqual(["Bearer ada"]);
    vi.useRealTimers();
  });

  test("what was refused is not asked for again as the next one", async () => {
    const late = held(() => problem(401, "token_expired"));
    wire.once(late.answer);
    const renewed = vi.fn();
    getIdToken = async ({ fresh }) => {
      if (fresh) renewed();
      return person;
    };
    const adas = box.boxToken().catch((error) => error);
    await vi.waitFor(() => expect(wire.sent).toHaveLength(1));
    next();
    late.letGo();
    expect(await adas).toMatchObject({ code: "not_signed_in" });
    expect(bearers()).toEqual(["Bearer ada"]);
    expect(renewed).not.toHaveBeenCalled();
  });

  test("an ID token that comes too late is not sent any more", async () => {
    const { promise, resolve } = later<string>();
    getIdToken = () => promise;
    const adas = box.boxToken().catch((error) => error);
    next();
    resolve("ada");
    expect(await adas).toMatchObject({ code: "not_signed_in" });
    expect(wire.sent).toHaveLength(0);
  });

  test("what was still being put together is not asked for as the next one", async () => {
    const { promise, resolve } = later<string>();
    box = createSsoBox({
      baseUrl: "https://service.example",
      getIdToken: async () => person,
      getNonceVerifier: () => promise,
    });
    const adas = box.boxToken().catch((error) => error);
    next();
    resolve("secret");
    expect(await adas).toMatchObject({ code: "not_signed_in" });
    expect(wire.sent).toHaveLength(0);
  });

  test("the end of the login before is not said to the next one", async () => {
    const late = held(() => problem(401, "signed_out"));
    wire.once(late.answer);
    const adas = box.me().catch((error) => error);
    await vi.waitFor(() => expect(wire.sent).toHaveLength(1));
    next();
    late.letGo();
    expect(await adas).toMatchObject({ code: "signed_out" });
    expect(onLoginRequired).not.toHaveBeenCalled();
  });
});
