import {
  InMemoryWebStorage,
  type User,
  UserManager,
  WebStorageStateStore,
} from "oidc-client-ts";
import { describe, expect, test, vi } from "vitest";
import { answersOf, forgetWith, signInWithProof, signOutOf } from "../src/oidc.js";
import { bytesOf, sha256 } from "./wire.js";

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
  return { id_token: idToken, profile: { exp }, ...members } as unknown as User;
}

function users(present: User | null, renew: () => Promise<User | null>) {
  const { events } = new UserManager(SETTINGS);
  return { events, getUser: async () => present, signinSilent: vi.fn(renew) };
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

test("the nonce that goes out is the hash of the secret that stays", async () => {
  const signinRedirect = vi.fn(async () => undefined);
  await signInWithProof({ signinRedirect }, { login_hint: "ada" });
  const [args] = signinRedirect.mock.calls[0] as unknown as [
    { nonce: string; login_hint: string; state: { nonceVerifier: string } },
  ];
  expect(bytesOf(args.nonce)).toEqual(await sha256(args.state.nonceVerifier));
  expect(args.login_hint).toBe("ada");
});

test("what the page wants to find again comes back beside the secret", async () => {
  const signinRedirect = vi.fn(async () => undefined);
  await signInWithProof({ signinRedirect }, { state: { returnTo: "/files" } });
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
  const profile = { iat: 0 };
  await events.load({ profile, state: { nonceVerifier: "secret" } } as User);
  expect(await getNonceVerifier()).toBe("secret");
  await events.load({ profile, state: undefined } as User); // a renewal carries none
  expect(await getNonceVerifier()).toBe("secret");
  await events.unload();
  expect(await getNonceVerifier()).toBeUndefined();
});

describe("whose tokens are kept", () => {
  const person = (sub: string) => ({ profile: { iss: "i", sub } }) as User;

  test("a renewal keeps them, another person or a sign-out ends them", async () => {
    const { events } = new UserManager(SETTINGS);
    const clear = vi.fn();
    const stop = forgetWith(events, { clear });
    await events.load(person("ada"));
    await events.load(person("ada"));
    expect(clear).not.toHaveBeenCalled();
    await events.load(person("grace"));
    expect(clear).toHaveBeenCalledTimes(1);
    await events.unload();
    expect(clear).toHaveBeenCalledTimes(2);
    stop();
    await events.load(person("ada"));
    await events.unload();
    expect(clear).toHaveBeenCalledTimes(2);
  });
});
