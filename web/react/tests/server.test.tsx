// @vitest-environment node
import { UserManager } from "oidc-client-ts";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { Wire } from "../../client/tests/wire.js";
import { SsoBoxProvider, useMe } from "../src/index.js";

function Greeting() {
  return <p>{useMe({ every: 5 }).isLoading ? "loading" : "known"}</p>;
}

test("on a server the page is loading, and nothing is asked", () => {
  const wire = new Wire(() => Response.json({}));
  const userManager = new UserManager({
    authority: "https://login.example",
    client_id: "spa",
    redirect_uri: "https://page.example/",
    automaticSilentRenew: false,
  });
  const page = renderToString(
    <SsoBoxProvider userManager={userManager} baseUrl="https://service.example">
      <Greeting />
    </SsoBoxProvider>,
  );
  expect(page).toBe("<p>loading</p>");
  expect(wire.sent).toHaveLength(0);
});
