// @vitest-environment node
import { UserManager } from "oidc-client-ts";
import { expect, test, vi } from "vitest";
import { createSSRApp, h } from "vue";
import { renderToString } from "vue/server-renderer";
import { Wire } from "../../client/tests/wire.js";
import { createSsoBoxPlugin, useMe } from "../src/index.js";

test("on a server the page is loading, and nothing is asked or left running", async () => {
  const wire = new Wire(() => Response.json({}));
  const timer = vi.spyOn(globalThis, "setInterval");
  const userManager = new UserManager({
    authority: "https://login.example",
    client_id: "spa",
    redirect_uri: "https://page.example/",
    automaticSilentRenew: false,
  });
  function usePage() {
    const { isLoading } = useMe({ every: 5 });
    return () => h("p", isLoading.value ? "loading" : "known");
  }
  const listening = vi.spyOn(userManager.events, "addUserLoaded");
  const numbers = new Set<number>();
  for (const _ of [1, 2]) {
    const app = createSSRApp({ setup: usePage });
    app.use(createSsoBoxPlugin({ userManager, baseUrl: "https://service.example" }));
    expect(await renderToString(app)).toBe("<p>loading</p>");
    numbers.add(listening.mock.calls.length);
  }
  expect(numbers.size, "a listener more with each page").toBe(1);
  expect(wire.sent).toHaveLength(0);
  expect(timer).not.toHaveBeenCalled();
});
