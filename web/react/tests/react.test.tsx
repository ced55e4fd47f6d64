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
    automaticSilentRenew: false,
    userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
  });
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

function page(part: () => React.ReactNode, props: { nonceProof?: boolean } = {}) {
  const Part = part;
  return render(
    <SsoBoxProvider userManager={users} baseUrl="https://service.example" {...props}>
      <Part />
    </SsoBoxProvider>,
  );
}

function context(props: { nonceProof?: boolean } = {}): () => SsoBoxContext {
  let seen: SsoBoxContext | undefined;
  page(() => {
    seen = useSsoBox();
    return <p>{seen.loginRequired?.code ?? "all is well"}</p>;
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
    expect(screen.getByText("loading")).toBeTruthy();
    expect(wire.sent).toHaveLength(2);
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

describe("the provider", () => {
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
