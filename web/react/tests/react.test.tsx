import { act, cleanup, render, screen, waitFor } from "@testing-library/react";
import {
  InMemoryWebStorage,
  User,
  UserManager,
  WebStorageStateStore,
} from "oidc-client-ts";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { held, problem, token, Wire } from "../../client/tests/wire.js";
import {
  type SsoBoxContext,
  SsoBoxProvider,
  type SsoBoxProviderProps,
  useAsked,
  useElementsToken,
  useMe,
  useSsoBox,
} from "../src/index.js";

const ADA = { identity: { name: "Ada" }, box: null };

let wire: Wire;
let users: UserManager;

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

afterEach(cleanup);

async function signIn(sub: string): Promise<void> {
  const now = Math.floor(Date.now() / 1000);
  const user = new User({
    id_token: `id-token of ${sub}`,
    access_token: "unused",
    token_type: "Bearer",
    expires_at: now + 3600,
    profile: { iss: "i", sub, aud: "spa", exp: now + 3600, iat: now },
    userState: { nonceVerifier: "secret" },
  });
  await users.storeUser(user);
  await users.events.load(user);
}

type Props = Partial<SsoBoxProviderProps>;

function page(part: () => React.ReactNode, props: Props = {}) {
  const Part = part;
  return render(
    <SsoBoxProvider userManager={users} baseUrl="https://service.example" {...props}>
      <Part />
    </SsoBoxProvider>,
  );
}

function context(props: Props = {}): () => SsoBoxContext {
  let seen: SsoBoxContext | undefined;
  page(() => {
    seen = useSsoBox();
    return <p>{seen.loginRequired?.code ?? seen.error?.message ?? "all is well"}</p>;
  }, props);
  return () => {
    if (!seen) throw new Error("nothing was rendered");
    return seen;
  };
}

function Greeting({ every }: { every?: number }) {
  const { data, error, isLoading } = useMe(every === undefined ? {} : { every });
  if (isLoading) return <p>loading</p>;
  return <p>{`${data?.identity.name ?? "nobody"}, ${error?.code ?? "well"}`}</p>;
}

function Lonely() {
  return <p>{typeof useSsoBox()}</p>;
}

describe("useMe", () => {
  test("goes from loading to the answer, asked for with the ID token", async () => {
    page(() => <Greeting />);
    expect(screen.getByText("loading")).toBeTruthy();
    await screen.findByText("Ada, well");
    expect(wire.last.headers.get("Authorization")).toBe("Bearer id-token of ada");
  });

  test("shows the error where the service has one", async () => {
    wire.always = () => problem(503, "keys_unavailable");
    page(() => <Greeting />);
    await screen.findByText("nobody, keys_unavailable");
  });

  test("asks again as told, keeps the last answer, and stops when refused", async () => {
    page(() => <Greeting every={5} />);
    await screen.findByText("Ada, well");
    await waitFor(() => expect(wire.sent.length).toBeGreaterThan(2));
    wire.always = () => problem(401, "signed_out");
    await screen.findByText("Ada, signed_out");
    // The timer ends with an effect, and those come after what is seen.
    await act(async () => undefined);
    const { length } = wire.sent;
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(length);
  });

  test("waits for an answer that is slow, and shows it", async () => {
    const late = held(() => Response.json(ADA));
    wire.once(late.answer);
    page(() => <Greeting every={5} />);
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(1);
    late.letGo();
    await screen.findByText("Ada, well");
  });

  test("shows the next person nothing of the one before", async () => {
    page(() => <Greeting />);
    await screen.findByText("Ada, well");
    const late = held(() => Response.json({ identity: { name: "Grace" }, box: null }));
    wire.always = late.answer;
    await act(() => signIn("grace"));
    expect(screen.getByText("loading")).toBeTruthy();
    late.letGo();
    await screen.findByText("Grace, well");
    await act(() => users.removeUser());
    expect(screen.getByText("nobody, well")).toBeTruthy();
    expect(wire.sent).toHaveLength(2);
    await act(() => signIn("grace"));
    await screen.findByText("Grace, well");
  });

  test("asks for the next person after a login that ended", async () => {
    wire.once(() => problem(401, "signed_out"));
    page(() => <Greeting />);
    await screen.findByText("nobody, signed_out");
    await act(() => signIn("grace"));
    await screen.findByText("Ada, well");
  });

  test("does not ask again while nobody looks", async () => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    page(() => <Greeting every={5} />);
    await screen.findByText("Ada, well");
    await new Promise((wake) => setTimeout(wake, 30));
    expect(wire.sent).toHaveLength(1);
  });
});

describe("useAsked", () => {
  function Folder({ id, ask }: { id: string; ask: (id: string) => Promise<string> }) {
    const { data, error, isLoading, reload } = useAsked(() => ask(id), [id]);
    const text = isLoading ? "loading" : `${data ?? "nothing"}, ${error ?? "well"}`;
    return (
      <button type="button" onClick={reload}>
        {text}
      </button>
    );
  }

  function folder(ask: (id: string) => Promise<string>) {
    const at = (id: string) => (
      <SsoBoxProvider userManager={users} baseUrl="https://service.example">
        <Folder id={id} ask={ask} />
      </SsoBoxProvider>
    );
    const { rerender } = render(at("1"));
    return (id: string) => rerender(at(id));
  }

  test("asks once, however often it is rendered with a new function", async () => {
    const ask = vi.fn(async (id: string) => id);
    const to = folder(ask);
    await screen.findByText("1, well");
    for (const _ of [1, 2, 3]) to("1");
    expect(ask).toHaveBeenCalledOnce();
  });

  test("shows nothing of the folder before, neither files nor errors", async () => {
    let fail: (reason: Error) => void = () => {};
    const late = new Promise<string>((_, reject) => {
      fail = reject;
    });
    const to = folder((id) => (id === "1" ? Promise.resolve("one") : late));
    await screen.findByText("one, well");
    to("2");
    await screen.findByText("loading");
    fail(new Error("gone"));
    await screen.findByText("nothing, Error: gone");
    to("1");
    await screen.findByText("one, well");
  });

  test("keeps the last answer where asking again fails", async () => {
    let isAway = false;
    folder(async () => (isAway ? Promise.reject(new Error("away")) : "one"));
    await screen.findByText("one, well");
    isAway = true;
    act(() => screen.getByRole("button").click());
    await screen.findByText("one, Error: away");
  });

  test("asks again for the person who has signed in instead", async () => {
    folder(async () => (await users.getUser())?.profile.sub ?? "nobody");
    await screen.findByText("ada, well");
    await act(() => signIn("grace"));
    await screen.findByText("grace, well");
  });
});

describe("the provider", () => {
  test("takes in a login, and leaves the rest of the address to the router", async () => {
    history.replaceState({ idx: 3 }, "", "/files?code=spent&state=abc&sort=name#top");
    const back = new User({
      ...((await users.getUser()) as User),
      userState: { returnTo: "/x" },
    });
    vi.spyOn(users, "signinCallback").mockResolvedValue(back);
    const onReturn = vi.fn();
    context({ onReturn });
    await waitFor(() => expect(onReturn).toHaveBeenCalledWith(back));
    expect(location.href.slice(location.origin.length)).toBe("/files?sort=name#top");
    expect(history.state).toEqual({ idx: 3 });
  });

  test("says why a login came to nothing, and tries its answer once only", async () => {
    history.replaceState(null, "", "/?error=access_denied&state=abc");
    vi.spyOn(users, "signinCallback").mockRejectedValue(new Error("access_denied"));
    const onReturn = vi.fn();
    context({ onReturn });
    await screen.findByText("access_denied");
    expect(onReturn).toHaveBeenCalledExactlyOnceWith(null);
    expect(location.search).toBe("");
  });

  test("makes no fuss where the provider knows nobody", async () => {
    history.replaceState(null, "", "/?error=login_required&state=abc");
    const nobody = Object.assign(new Error("who?"), { error: "login_required" });
    vi.spyOn(users, "signinCallback").mockRejectedValue(nobody);
    context();
    await waitFor(() => expect(location.search).toBe(""));
    expect(screen.getByText("all is well")).toBeTruthy();
  });

  test("says where the login cannot be started, until it can", async () => {
    const redirect = vi.spyOn(users, "signinRedirect");
    redirect.mockRejectedValueOnce(new Error("Failed to fetch"));
    const now = context();
    await act(() => expect(now().signIn()).rejects.toThrow("Failed to fetch"));
    expect(screen.getByText("Failed to fetch")).toBeTruthy();
    redirect.mockResolvedValueOnce();
    await act(() => now().signIn());
    expect(screen.getByText("all is well")).toBeTruthy();
  });

  test("keeps one client, so that its tokens outlive a render", async () => {
    const now = context();
    const { box } = now();
    await act(() => box.boxToken());
    await act(() => signIn("ada"));
    expect(now().box).toBe(box);
    await act(() => now().box.boxToken());
    expect(wire.sent).toHaveLength(1);
  });

  test("forgets the tokens with the person", async () => {
    const now = context();
    await act(() => now().box.boxToken());
    await act(() => signIn("grace"));
    await act(() => now().box.boxToken());
    expect(wire.sent).toHaveLength(2);
    expect(wire.last.headers.get("Authorization")).toBe("Bearer id-token of grace");
  });

  test("says that a login is needed, and why", async () => {
    wire.always = () => problem(401, "signed_out");
    const now = context();
    await act(() =>
      now()
        .box.me()
        .catch(() => undefined),
    );
    expect(screen.getByText("signed_out")).toBeTruthy();
  });

  test("is content again once somebody has logged in beside the page", async () => {
    wire.once(() => problem(401, "signed_out"));
    const now = context();
    await act(() => now().box.boxToken().catch(String));
    expect(screen.getByText("signed_out")).toBeTruthy();
    await act(() => signIn("ada"));
    expect(screen.getByText("all is well")).toBeTruthy();
    wire.once(() => problem(401, "signed_out"));
    await act(() => now().box.boxToken().catch(String));
    expect(screen.getByText("signed_out")).toBeTruthy();
  });

  test("sends the proof only where it was told to", async () => {
    const without = context();
    await act(() => signIn("ada"));
    await act(() => without().box.boxToken());
    expect(wire.last.body).toEqual({});
    cleanup();
    const proving = context({ nonceProof: true });
    await act(() => signIn("ada"));
    await act(() => proving().box.boxToken());
    expect(wire.last.body).toEqual({ nonce_verifier: "secret" });
  });

  test("starts the login with a nonce where the proof is asked for", async () => {
    const redirect = vi.spyOn(users, "signinRedirect").mockResolvedValue();
    await context()().signIn({ login_hint: "ada" });
    expect(redirect.mock.calls[0]?.[0]).toEqual({ login_hint: "ada" });
    cleanup();
    await context({ nonceProof: true })().signIn();
    expect(redirect.mock.calls[1]?.[0]).toMatchObject({
      nonce: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test("does not come back with the person who left for a login", async () => {
    // As the browser does it with a page that it has kept in its memory.
    vi.spyOn(users, "signinRedirect").mockResolvedValue();
    const now = context();
    await act(() => now().signIn({ prompt: "login" }));
    expect(await users.getUser()).toBeNull();
  });

  test("drops the code of a login that came to nothing", async () => {
    history.replaceState(null, "", "/?code=unspent&state=unknown");
    context();
    await waitFor(() => expect(location.search).toBe(""));
  });

  test("asks at the login for what the service wants of it", async () => {
    const redirect = vi.spyOn(users, "signinRedirect").mockResolvedValue();
    const challenge =
      'Bearer realm="x", error="insufficient_user_authentication", max_age="0", acr_values="mfa"';
    wire.once(() => problem(401, "signed_out", { "WWW-Authenticate": challenge }));
    const now = context();
    await act(() => now().box.boxToken().catch(String));
    await now().signIn({ login_hint: "ada" });
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
    await context()().signOutEverywhere();
    expect(order).toEqual(["DELETE /v1/tokens", "provider"]);
  });

  test("signs out of this page without a word to the service", async () => {
    const redirect = vi.spyOn(users, "signoutRedirect").mockResolvedValue();
    await context()().signOut();
    expect(redirect).toHaveBeenCalledOnce();
    expect(wire.sent).toHaveLength(0);
  });

  test("is missed by name", () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(() => render(<Lonely />)).toThrow("needs an SsoBoxProvider");
  });
});

test("the function for UI Elements is the same from render to render", async () => {
  const seen = new Set<unknown>();
  page(() => {
    const get = useElementsToken({ profile: "explorer" });
    seen.add(get);
    useMe({ every: 5 });
    return null;
  });
  await waitFor(() => expect(wire.sent.length).toBeGreaterThan(1));
  expect(seen.size).toBe(1);
  const [get] = [...seen] as [(id: string) => Promise<string>];
  expect(await get("folder_0")).toBe("box-1");
  expect(wire.last.body).toEqual({ profile: "explorer" });
});
