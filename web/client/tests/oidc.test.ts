import {
  InMemoryWebStorage,
  User,
  UserManager,
  WebStorageStateStore,
} from "oidc-client-ts";
import { describe, expect, test, vi } from "vitest";
import { answersOf, leaveForLogin, signOutOf, whenAnother } from "../src/oidc.js";
import { bytesOf, held, sha256, Wire } from "./wire.js";

const SETTINGS = {
  authority: "https://login.example",
  client_id: "spa",
  redirect_uri: "https://page.example/",
  automaticSilentRenew: false,
  stateStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
  userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
};

function user(idToken: string, leftS: number, members: object = {}): User {
  const exp = Math.floor(Date.now() / 1000) + leftS;
  const profile = { iss: "i", sub: "ada", iat: exp - 300, exp };
  return { id_token: idToken, profile, ...members } as unknown as User;
}

function users(present: User | null, renew: () => Promise<User | null>) {
  const { events } = new UserManager(SETTINGS);
  const removeUser = vi.fn();
  return {
    events,
    removeUser,
    getUser: async () => present,
    signinSilent: vi.fn(renew),
  };
}

function failure(name: string, members: object = {}): Error {
  return Object.assign(new Error("no"), { name, ...members });
}

describe("the ID token", () => {
  test("is the present one while it lives", async () => {
    const manager = users(user("present", 300), async () => user("new", 300));
    expect(await answersOf(manager).getIdToken({ fresh: false })).toBe("present");
    expect(manager.signinSilent).not.toHaveBeenCalled();
  });

  test("is renewed before it ends", async () => {
    const manager = users(user("present", 20), async () => user("new", 300));
    expect(await answersOf(manager).getIdToken({ fresh: false })).toBe("new");
  });

  test("is not renewed over and over where the page's clock is ahead", async () => {
    const hourOld = user("present", -3600);
    const now = Math.floor(Date.now() / 1000);
    Object.assign(hourOld.profile, { iat: now - 7200 });
    const manager = users(hourOld, async () => user("new", 300));
    const { getIdToken } = answersOf(manager);
    await manager.events.load(hourOld);
    expect(await getIdToken({ fresh: false })).toBe("present");
    vi.useFakeTimers({ now: Date.now() + 3_580_000 });
    expect(await getIdToken({ fresh: false })).toBe("new");
    vi.useRealTimers();
  });

  test("is renewed where the service refused it", async () => {
    const manager = users(user("present", 300), async () => user("new", 300));
    expect(await answersOf(manager).getIdToken({ fresh: true })).toBe("new");
  });

  test("is renewed once for all who ask meanwhile", async () => {
    const manager = users(user("present", 0), async () => user("new", 300));
    const { getIdToken } = answersOf(manager);
    const asked = [false, true, false].map((fresh) => getIdToken({ fresh }));
    expect(await Promise.all(asked)).toEqual(["new", "new", "new"]);
    expect(manager.signinSilent).toHaveBeenCalledOnce();
    await getIdToken({ fresh: true });
    expect(manager.signinSilent).toHaveBeenCalledTimes(2);
  });

  test("is renewed once in its life by a clock that is hours ahead", async () => {
    vi.useFakeTimers({ now: Date.now() + 2 * 3600_000 });
    let present = user("old", 300 - 2 * 3600);
    const manager = users(null, async () => {
      present = user("new", 300 - 2 * 3600);
      await manager.events.load(present);
      return present;
    });
    manager.getUser = async () => present;
    const { getIdToken } = answersOf(manager);
    for (let n = 0; n < 3; n += 1) {
      expect(await getIdToken({ fresh: false })).toBe("new");
    }
    expect(manager.signinSilent).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(280_000);
    await getIdToken({ fresh: false });
    expect(manager.signinSilent).toHaveBeenCalledTimes(2);
    vi.useRealTimers();
  });

  test("is none where nobody is signed in", async () => {
    const manager = users(null, async () => user("new", 300));
    expect(await answersOf(manager).getIdToken({ fresh: true })).toBeNull();
    expect(manager.signinSilent).not.toHaveBeenCalled();
  });

  test.each(["login_required", "invalid_grant"])(
    "is none where the provider says %s",
    async (error) => {
      const refusal = failure("ErrorResponse", { error });
      const manager = users(user("present", 0), () => Promise.reject(refusal));
      expect(await answersOf(manager).getIdToken({ fresh: false })).toBeNull();
    },
  );

  test.each([
    failure("ErrorResponse", { error: "temporarily_unavailable" }),
    failure("TypeError"),
    failure("ErrorTimeout"),
  ])("a provider that is away is not a login that ended: %o", async (trouble) => {
    const present = user("present", 0, { refresh_token: "refresh" });
    const manager = users(present, () => Promise.reject(trouble));
    await expect(answersOf(manager).getIdToken({ fresh: false })).rejects.toMatchObject(
      {
        code: "provider_unreachable",
      },
    );
  });
});

test("a hidden frame that stays silent is a login that has to leave the page", async () => {
  const silence = failure("ErrorTimeout");
  const manager = users(user("present", 0), () => Promise.reject(silence));
  expect(await answersOf(manager).getIdToken({ fresh: false })).toBeNull();
});

describe("a renewal that comes back after a sign-out", () => {
  const claims = (sub: string) => {
    const exp = Math.floor(Date.now() / 1000) + 300;
    const body = { iss: SETTINGS.authority, aud: "spa", sub, exp, iat: exp - 300 };
    const part = (content: object) => btoa(JSON.stringify(content));
    return { ...body, idToken: `${part({ alg: "RS256" })}.${part(body)}.x` };
  };
  const signedIn = (sub: string) => {
    const { idToken, ...profile } = claims(sub);
    return new User({
      id_token: idToken,
      access_token: "unused",
      refresh_token: `refreshes ${sub}`,
      token_type: "Bearer",
      profile,
    });
  };

  test.each([null, "grace"])(
    "signs nobody in again; then signed in: %s",
    async (next) => {
      const manager = new UserManager({
        ...SETTINGS,
        metadata: {
          issuer: SETTINGS.authority,
          token_endpoint: "https://login.example/t",
        },
      });
      const sign = async (sub: string) => {
        await manager.storeUser(signedIn(sub));
        await manager.events.load(signedIn(sub));
      };
      const { getIdToken } = answersOf(manager);
      await sign("ada");
      const renewed = {
        access_token: "a",
        token_type: "Bearer",
        id_token: claims("ada").idToken,
      };
      const late = held(() => Response.json(renewed));
      const wire = new Wire(late.answer);
      const adas = getIdToken({ fresh: true });
      await vi.waitFor(() => expect(wire.sent).toHaveLength(1));
      await manager.removeUser();
      if (next) await sign(next);
      late.letGo();
      expect(await adas).toBeNull();
      expect(await manager.getUser()).toBeNull();
    },
  );
});

describe("leaving for the login", () => {
  test("the nonce that goes out is the hash of the secret that stays", async () => {
    const signinRedirect = vi.fn();
    const removeUser = vi.fn();
    await leaveForLogin({ signinRedirect, removeUser }, { login_hint: "ada" }, true);
    const [args] = signinRedirect.mock.lastCall ?? [];
    expect(bytesOf(args.nonce)).toEqual(await sha256(args.state.nonceVerifier));
    expect(args.login_hint).toBe("ada");
  });

  test.each([false, true])(
    "nobody is signed in where the browser brings the page back; proof: %s",
    async (nonceProof) => {
      // The library's promise comes to its end at that moment.
      let comeBack: (() => void) | undefined;
      const signinRedirect = () =>
        new Promise<void>((back) => {
          comeBack = back;
        });
      const removeUser = vi.fn();
      const left = leaveForLogin({ signinRedirect, removeUser }, {}, nonceProof);
      await vi.waitFor(() => expect(comeBack).toBeTypeOf("function"));
      expect(removeUser).not.toHaveBeenCalled();
      comeBack?.();
      await left;
      expect(removeUser).toHaveBeenCalledOnce();
    },
  );
});

test("what the page wants to find again comes back beside the secret", async () => {
  const signinRedirect = vi.fn();
  const back = { state: { returnTo: "/files" } };
  await leaveForLogin({ signinRedirect, removeUser: vi.fn() }, back, true);
  expect(signinRedirect).toHaveBeenCalledWith(
    expect.objectContaining({
      state: { returnTo: "/files", nonceVerifier: expect.any(String) },
    }),
  );
});

describe("signing out", () => {
  test.each([
    ["at the provider", { end_session_endpoint: "https://login.example/out" }],
    ["of this page alone where the provider has no log-out", {}],
  ])("%s", async (where, metadata) => {
    const manager = new UserManager({ ...SETTINGS, metadata });
    const redirect = vi.spyOn(manager, "signoutRedirect").mockResolvedValue();
    const remove = vi.spyOn(manager, "removeUser");
    const args = { extraQueryParams: { client_id: "spa" } };
    await signOutOf(manager, args);
    const calls = where === "at the provider" ? [[args]] : [];
    expect(redirect.mock.calls).toEqual(calls);
    expect(remove).toHaveBeenCalledTimes(where === "at the provider" ? 0 : 1);
  });

  test("fails where the provider is away", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    const manager = new UserManager(SETTINGS);
    // The library's own: it forgets the person, and then finds nobody to go to.
    const away = new TypeError("Failed to fetch");
    vi.spyOn(manager, "signoutRedirect").mockRejectedValue(away);
    await expect(signOutOf(manager)).rejects.toBe(away);
  });
});

test("the secret of the login is told to the client, until the sign-out", async () => {
  const { events, ...rest } = users(null, async () => null);
  const { getNonceVerifier } = answersOf({ events, ...rest });
  const login = (sub: string, state?: object) =>
    ({ profile: { iss: "i", sub }, state }) as User;
  await events.load(login("ada", { nonceVerifier: "secret" }));
  expect(await getNonceVerifier()).toBe("secret");
  await events.load(login("ada")); // a renewal carries none
  expect(await getNonceVerifier()).toBe("secret");
  await events.load(login("grace"));
  expect(await getNonceVerifier()).toBeUndefined();
  await events.load(login("grace", { nonceVerifier: "another" }));
  expect(await getNonceVerifier()).toBe("another");
  await events.unload();
  expect(await getNonceVerifier()).toBeUndefined();
});

test("what a login carried outlives the part of the page that asked for it", async () => {
  const manager = users(null, async () => null);
  answersOf(manager);
  const state = { nonceVerifier: "secret" };
  await manager.events.load({ profile: { iss: "i", sub: "ada" }, state } as User);
  expect(await answersOf(manager).getNonceVerifier()).toBe("secret");
});

test("what goes on in two parts of a page is one renewal", async () => {
  const manager = users(user("present", 0), async () => user("new", 300));
  const parts = [answersOf(manager), answersOf(manager)];
  await Promise.all(parts.map(({ getIdToken }) => getIdToken({ fresh: true })));
  expect(manager.signinSilent).toHaveBeenCalledOnce();
});

describe("who is told of", () => {
  const person = (sub: string) => ({ profile: { iss: "i", sub } }) as User;
  const ADA = '["i","ada"]';
  const GRACE = '["i","grace"]';

  test("whoever comes and goes, and no renewal", async () => {
    const manager = users(null, async () => null);
    const told: (string | null)[] = [];
    const stop = whenAnother(manager, (who) => void told.push(who));
    await Promise.resolve();
    for (const sub of ["ada", "ada", "grace"]) await manager.events.load(person(sub));
    await manager.events.unload();
    expect(told).toEqual([ADA, GRACE, null]);
    stop();
    await manager.events.load(person("ada"));
    await manager.events.unload();
    expect(told).toHaveLength(3);
  });

  test("whoever follows somebody who was there from the start", async () => {
    const manager = users(person("ada"), async () => null);
    const tell = vi.fn();
    whenAnother(manager, tell);
    await Promise.resolve();
    await manager.events.load(person("ada"));
    expect(tell).not.toHaveBeenCalled();
    await manager.events.load(person("grace"));
    expect(tell.mock.calls).toEqual([[GRACE]]);
  });

  test("whoever comes, where a storage cannot say who is there", async () => {
    const manager = users(null, async () => null);
    // One that is not looked at ends the tests, and a server.
    manager.getUser = () => Promise.reject(new Error("blocked"));
    const tell = vi.fn();
    whenAnother(manager, tell);
    await new Promise((wake) => setTimeout(wake));
    for (const sub of ["ada", "grace"]) await manager.events.load(person(sub));
    expect(tell.mock.calls).toEqual([[GRACE]]);
  });
});
