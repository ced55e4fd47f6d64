import {
  InMemoryWebStorage,
  User,
  UserManager,
  WebStorageStateStore,
} from "oidc-client-ts";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type App, createApp, h, ref, watch } from "vue";
import { held, problem, token, Wire } from "../../client/tests/wire.js";
import {
  createSsoBoxPlugin,
  type SsoBoxContext,
  type SsoBoxPluginOptions,
  useAsked,
  useElementsToken,
  useMe,
  useSsoBox,
} from "../src/index.js";

const ADA = { identity: { name: "Ada" }, box: null };

let wire: Wire;
let users: UserManager;
let app: App | undefined;

beforeEach(async () => {
  wire = new Wire(({ url }) =>
    url.endsWith("/v1/token") ? token("box-1") : Response.json(ADA),
  );
  users = new UserManager({
    authority: "https://login.example",
    client_id: "spa",
    redirect_uri: "https://page.example/",
    metadata: { end_session_endpoint: "https://login.example/out" },
    automaticSilentRenew: false,
    userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
  });
  history.replaceState(null, "", "/");
  await signIn("ada");
});

afterEach(() => {
  app?.unmount();
  app = undefined;
  document.body.innerHTML = "";
});

function person(sub: string): User {
  const now = Math.floor(Date.now() / 1000);
  return new User({
    id_token: `id-token of ${sub}`,
    access_token: "unused",
    token_type: "Bearer",
    expires_at: now + 3600,
    profile: { iss: "i", sub, aud: "spa", exp: now + 3600, iat: now },
    userState: { nonceVerifier: "secret" },
  });
}

async function signIn(sub: string): Promise<void> {
  const user = person(sub);
  await users.storeUser(user);
  await users.events.load(user);
}

/** Mounts a component of `setup`, whose result is its text. */
function page(
  setup: () => () => string,
  options: Partial<SsoBoxPluginOptions> = {},
): void {
  app = createApp({
    setup() {
      const text = setup();
      return () => h("p", text());
    },
  });
  app.use(
    createSsoBoxPlugin({
      userManager: users,
      baseUrl: "https://service.example",
      ...options,
    }),
  );
  app.mount(document.body.appendChild(document.createElement("div")));
}

function context(
  options: Partial<SsoBoxPluginOptions> = {},
  setup: () => void = () => {},
): SsoBoxContext {
  let seen: SsoBoxContext | undefined;
  page(() => {
    seen = useSsoBox();
    setup();
    const { loginRequired, error } = seen;
    return () => loginRequired.value?.code ?? error.value?.message ?? "all is well";
  }, options);
  return seen as unknown as SsoBoxContext;
}

async function shows(text: string): Promise<void> {
  await vi.waitFor(() => expect(document.body.textContent).toBe(text), { interval: 1 });
}

describe("useMe", () => {
  function greeting(every?: number): void {
    page(() => {
      const { data, error, isLoading } = useMe(every === undefined ? {} : { every });
      return () =>
        isLoading.value
          ? "loading"
          : `${data.value?.identity.name ?? "nobody"}, ${error.value?.code ?? "well"}`;
    });
  }

  test("goes from loading to the answer, asked for with the ID token", async () => {
    greeting();
    await shows("loading");
    await shows("Ada, well");
    expect(wire.last.headers.get("Authorization")).toBe("Bearer id-token of ada");
  });

  test("shows the error where the service has one", async () => {
    wire.always = () => problem(503, "keys_unavailable");
    greeting();
    await shows("nobody, keys_unavailable");
  });

  test("asks again as told, keeps the last answer, and stops when refused", async () => {
    greeting(5);
    await shows("Ada, well");
    await vi.waitFor(() => expect(wire.sent.length).toBeGreaterThan(2));
    wire.always = () => problem(401, "signed_out");
    await shows("Ada, signed_out");
    const { length } = wire.sent;
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(length);
  });

  test("waits for an answer that is slow, and shows it", async () => {
    const late = held(() => Response.json(ADA));
    wire.once(late.answer);
    greeting(5);
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(1);
    late.letGo();
    await shows("Ada, well");
  });

  test("shows the next person nothing of the one before", async () => {
    greeting();
    await shows("Ada, well");
    const late = held(() => Response.json({ identity: { name: "Grace" }, box: null }));
    wire.always = late.answer;
    await signIn("grace");
    await shows("loading");
    late.letGo();
    await shows("Grace, well");
    await users.removeUser();
    await shows("nobody, well");
    expect(wire.sent).toHaveLength(2);
    await signIn("grace");
    await shows("Grace, well");
  });

  test("asks nothing of nobody, neither by the clock nor by hand", async () => {
    let asked: (() => Promise<void>) | undefined;
    const now = context({}, () => {
      asked = useMe({ every: 5 }).reload;
    });
    await vi.waitFor(() => expect(wire.sent.length).toBeGreaterThan(1));
    await users.removeUser();
    await asked?.();
    await new Promise((wake) => setTimeout(wake, 20));
    expect(now.loginRequired.value).toBeNull();
  });

  test("asks for the next person after a login that ended", async () => {
    wire.once(() => problem(401, "signed_out"));
    greeting();
    await shows("nobody, signed_out");
    await signIn("grace");
    await shows("Ada, well");
  });

  test("does not ask again once the component is gone", async () => {
    greeting(5);
    await shows("Ada, well");
    app?.unmount();
    const { length } = wire.sent;
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(length);
  });

  test("does not ask again while nobody looks", async () => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    greeting(5);
    await shows("Ada, well");
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(1);
  });
});

describe("whoever follows another beside the page", () => {
  test("is never seen with what was asked for the one before", async () => {
    const seen = new Set<string>();
    page(() => {
      const { user } = useSsoBox();
      const asked = useAsked(async () => (await users.getUser())?.profile.sub);
      return () => {
        seen.add(`${user.value?.profile.sub}: ${asked.data.value ?? "nothing"}`);
        return asked.data.value ?? "";
      };
    });
    await shows("ada");
    await signIn("grace");
    await shows("grace");
    expect(seen).not.toContain("grace: ada");
  });

  test.each([false, true])(
    "is asked for as soon as they are known; after a login that ended: %s",
    async (hasEnded) => {
      const answers: string[] = [];
      const { box } = context({}, () => {
        const now = useSsoBox();
        const ask = () => now.box.me().then(({ identity }) => identity.name, String);
        watch(now.user, async () => void answers.push((await ask()) ?? ""));
      });
      await shows("all is well");
      await vi.waitFor(() => expect(answers).toEqual(["Ada"]));
      wire.once(() => (hasEnded ? problem(401, "signed_out") : Response.json(ADA)));
      await box.me().catch(String);
      await signIn("grace");
      await vi.waitFor(() => expect(answers).toEqual(["Ada", "Ada"]));
    },
  );
});

describe("useAsked", () => {
  function folder(ask: (id: string) => Promise<string>) {
    const id = ref("1");
    let reload: () => Promise<void> = async () => {};
    page(() => {
      const asked = useAsked(
        () => ask(id.value),
        () => id.value,
      );
      reload = asked.reload;
      return () =>
        asked.isLoading.value
          ? "loading"
          : `${asked.data.value ?? "nothing"}, ${asked.error.value ?? "well"}`;
    });
    return { id, reload: () => reload() };
  }

  test("shows nothing of the folder before, neither files nor errors", async () => {
    let fail: (reason: Error) => void = () => {};
    const late = new Promise<string>((_, reject) => {
      fail = reject;
    });
    const { id } = folder((one) => (one === "1" ? Promise.resolve("one") : late));
    await shows("one, well");
    id.value = "2";
    await shows("loading");
    fail(new Error("gone"));
    await shows("nothing, Error: gone");
    id.value = "1";
    await shows("one, well");
  });

  test("keeps the last answer where asking again fails", async () => {
    let isAway = false;
    const { reload } = folder(async () =>
      isAway ? Promise.reject(new Error("away")) : "one",
    );
    await shows("one, well");
    isAway = true;
    await reload();
    await shows("one, Error: away");
  });

  test("asks again for the person who has signed in instead", async () => {
    folder(async () => (await users.getUser())?.profile.sub ?? "nobody");
    await shows("ada, well");
    await signIn("grace");
    await shows("grace, well");
  });
});

describe("the plugin", () => {
  test("leaves the rest of the address, and what the router keeps, alone", async () => {
    history.replaceState(
      { position: 3 },
      "",
      "/files?code=spent&state=abc&sort=name#top",
    );
    const back = person("grace");
    vi.spyOn(users, "signinCallback").mockResolvedValue(back);
    const onReturn = vi.fn();
    context({ onReturn });
    await vi.waitFor(() => expect(onReturn).toHaveBeenCalledWith(back));
    expect(location.href.slice(location.origin.length)).toBe("/files?sort=name#top");
    expect(history.state).toEqual({ position: 3 });
  });

  test("makes no fuss where the provider knows nobody", async () => {
    history.replaceState(null, "", "/?error=login_required&state=abc");
    const nobody = Object.assign(new Error("who?"), { error: "login_required" });
    vi.spyOn(users, "signinCallback").mockRejectedValue(nobody);
    const { error, isLoading } = context();
    await vi.waitFor(() => expect(isLoading.value).toBe(false));
    expect(error.value).toBeNull();
  });

  test("says where the login cannot be started, until it can", async () => {
    const redirect = vi.spyOn(users, "signinRedirect");
    redirect.mockRejectedValueOnce(new Error("Failed to fetch"));
    const { signIn: start } = context();
    await expect(start()).rejects.toThrow("Failed to fetch");
    await shows("Failed to fetch");
    redirect.mockResolvedValueOnce();
    await start();
    await shows("all is well");
  });

  test("takes in a login that comes back, and drops its code", async () => {
    history.replaceState(null, "", "/?code=spent&state=abc");
    const callback = vi
      .spyOn(users, "signinCallback")
      .mockResolvedValue(person("grace"));
    const { user, isLoading } = context();
    expect(isLoading.value).toBe(true);
    await vi.waitFor(() => expect(isLoading.value).toBe(false));
    expect(callback).toHaveBeenCalledOnce();
    expect(user.value?.profile.sub).toBe("grace");
    expect(location.search).toBe("");
  });

  test("shows why a login came to nothing", async () => {
    history.replaceState(null, "", "/?error=access_denied&state=abc");
    vi.spyOn(users, "signinCallback").mockRejectedValue(new Error("access_denied"));
    const onReturn = vi.fn();
    const { error, isLoading } = context({ onReturn });
    await vi.waitFor(() => expect(isLoading.value).toBe(false));
    expect(error.value?.message).toBe("access_denied");
    expect(onReturn).toHaveBeenCalledExactlyOnceWith(null);
    expect(location.search).toBe("");
  });

  test("follows who is signed in, and forgets the tokens with the person", async () => {
    const { box, user } = context();
    await box.boxToken();
    await box.boxToken();
    expect(wire.sent).toHaveLength(1);
    await signIn("grace");
    expect(user.value?.profile.sub).toBe("grace");
    await box.boxToken();
    expect(wire.sent).toHaveLength(2);
    await users.removeUser();
    expect(user.value).toBeNull();
  });

  test("says that a login is needed, and why", async () => {
    wire.always = () => problem(401, "signed_out");
    const { box } = context();
    await box.me().catch(() => undefined);
    await shows("signed_out");
  });

  test("is content again once somebody has logged in beside the page", async () => {
    wire.once(() => problem(401, "signed_out"));
    const { box } = context();
    await box.boxToken().catch(String);
    await shows("signed_out");
    await signIn("ada");
    await shows("all is well");
    wire.once(() => problem(401, "signed_out"));
    await box.boxToken().catch(String);
    await shows("signed_out");
  });

  test("sends the proof only where it was told to", async () => {
    const without = context();
    await signIn("ada");
    await without.box.boxToken();
    expect(wire.last.body).toEqual({});
    app?.unmount();
    const { box } = context({ nonceProof: true });
    await signIn("ada");
    await box.boxToken();
    expect(wire.last.body).toEqual({ nonce_verifier: "secret" });
  });

  test("starts the login with a nonce where the proof is asked for", async () => {
    const redirect = vi.spyOn(users, "signinRedirect").mockResolvedValue();
    await context().signIn({ login_hint: "ada" });
    expect(redirect.mock.calls[0]?.[0]).toEqual({ login_hint: "ada" });
    app?.unmount();
    await context({ nonceProof: true }).signIn();
    expect(redirect.mock.calls[1]?.[0]).toMatchObject({
      nonce: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test("does not come back with the person who left for a login", async () => {
    // As the browser does it with a page that it has kept in its memory.
    vi.spyOn(users, "signinRedirect").mockResolvedValue();
    const { signIn: leave, user } = context();
    await vi.waitFor(() => expect(user.value?.profile.sub).toBe("ada"));
    await leave({ prompt: "login" });
    expect(user.value).toBeNull();
  });

  test("asks at the login for what the service wants of it", async () => {
    const redirect = vi.spyOn(users, "signinRedirect").mockResolvedValue();
    const challenge =
      'Bearer realm="x", error="insufficient_user_authentication", max_age="0", acr_values="mfa"';
    wire.once(() => problem(401, "signed_out", { "WWW-Authenticate": challenge }));
    const { box, signIn } = context();
    await box.boxToken().catch(String);
    await signIn({ login_hint: "ada" });
    const wanted = { max_age: 0, acr_values: "mfa", login_hint: "ada" };
    expect(redirect).toHaveBeenCalledWith(wanted);
  });

  test("signs out at the service first, then at the provider", async () => {
    const order: string[] = [];
    wire.always = ({ method, url }) => {
      order.push(`${method} ${new URL(url).pathname}`);
      return new Response(null, { status: 204 });
    };
    vi.spyOn(users, "signoutRedirect").mockImplementation(async () => {
      order.push("provider");
    });
    await context().signOutEverywhere();
    expect(order).toEqual(["DELETE /v1/tokens", "provider"]);
  });

  test("signs out of this page without a word to the service", async () => {
    const redirect = vi.spyOn(users, "signoutRedirect").mockResolvedValue();
    await context().signOut();
    expect(redirect).toHaveBeenCalledOnce();
    expect(wire.sent).toHaveLength(0);
  });

  test("is missed by name", () => {
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const lonely = createApp({ setup: () => useSsoBox() });
    expect(() => lonely.mount(document.createElement("div"))).toThrow(
      "needs createSsoBoxPlugin",
    );
  });
});

test("the function for UI Elements gets a token of its profile", async () => {
  let get: ((id: string) => Promise<string>) | undefined;
  page(() => {
    get = useElementsToken({ profile: "explorer" });
    return () => "";
  });
  expect(await get?.("folder_0")).toBe("box-1");
  expect(wire.last.body).toEqual({ profile: "explorer" });
});

test("the function for UI Elements follows the profile of its component", async () => {
  const profile = ref("explorer");
  let get: ((id: string) => Promise<string>) | undefined;
  page(() => {
    get = useElementsToken(() => ({ profile: profile.value }));
    return () => "";
  });
  await get?.("folder_0");
  profile.value = "uploader";
  await get?.("folder_0");
  expect(wire.last.body).toEqual({ profile: "uploader" });
});
