/** The demo in a real browser: one person's day, against the stack of `make demo`. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { startBrowser, Window } from "./browser.mjs";
import { startStack } from "./stack.mjs";

const NOTE = "A note to look at.\n";
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF = Buffer.from(
  "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>",
).toString("base64");
const FOLDERS = [
  {
    type: "folder",
    name: "Papers",
    items: [{ type: "file", name: "note.txt", content: NOTE }],
  },
  { type: "file", name: "picture.png", content_base64: PNG },
  { type: "file", name: "letter.pdf", content_base64: PDF },
  { type: "file", name: "archive.zip", content: "zip" },
];

let stack;
let browser;
let ada;

before(async () => {
  [stack, browser] = await Promise.all([startStack(), startBrowser()]);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

/** The Explorer's row; a click on its cells selects it. */
function row(name) {
  return ada.page.getByRole("row").filter({ hasText: name });
}

/** The Explorer has shown what is in the folder, be it nothing. */
async function listed({ page }) {
  const nothing = page.getByText("There are no items in this folder");
  await nothing.or(page.getByRole("gridcell").first()).first().waitFor();
}

async function preview(name) {
  await row(name).getByText(name).click();
  const preview = ada.page.getByRole("complementary", { name: `Preview of ${name}` });
  await preview.waitFor();
  return preview;
}

test("nobody is signed in: the page says what to do", async () => {
  ada = await Window.open(browser);
  await ada.page.goto(stack.page);
  await ada.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await ada.fine("01-signed-out");
  ada.quiet();
});

test("the first login shows a place of one's own", async () => {
  await ada.signIn(stack.page, "Ada Lovelace");
  await listed(ada);
  await ada.page.getByText("app, active").waitFor();
  await ada.fine("02-first-login");
  ada.quiet();
});

test("a reload brings the person back, and costs no call from the service to Box", async () => {
  const { box_user_id } = await stack.boxToken("ada");
  await stack.seed(box_user_id, FOLDERS);
  await ada.page.reload();
  await row("Papers").waitFor();
  await ada.page.waitForResponse((answer) => answer.url().includes("/inspector/calls"));
  await ada.page.getByText("Each of them").click();
  assert.equal(await ada.page.getByTestId("service-to-box").textContent(), "0");
  await ada.fine("03-files");
  ada.quiet();
});

test("text, pictures and documents are shown, each with a token of its own", async () => {
  const picture = await preview("picture.png");
  await picture.getByRole("img").waitFor();
  await ada.fine("04-preview-picture");
  const document = await preview("letter.pdf");
  await document.locator("iframe").waitFor();
  const other = await preview("archive.zip");
  await other.getByText("There is no preview").waitFor();
  await ada.page.getByRole("button", { name: "Close the preview" }).click();
  await row("Papers").getByText("Papers").click();
  await row("note.txt").focus();
  await ada.page.keyboard.press("Enter");
  const text = ada.page.getByRole("complementary", { name: "Preview of note.txt" });
  await text.getByText(NOTE.trim()).waitFor();
  await ada.fine("05-preview-text");
  ada.quiet();
});

test("an uploaded file stands at Box with the same SHA-1", async () => {
  const content = Buffer.from(`uploaded at ${Date.now()}`);
  await ada.page.getByRole("button", { name: "Add" }).click();
  await ada.page.getByText("Upload", { exact: true }).click();
  const chosen = ada.page.locator('input[type="file"]').first();
  await chosen.setInputFiles({
    name: "upload.txt",
    mimeType: "text/plain",
    buffer: content,
  });
  await ada.page.getByRole("button", { name: "Upload", exact: true }).click();
  const folder = (await stack.items("ada")).find((item) => item.name === "Papers");
  const sha1 = createHash("sha1").update(content).digest("hex");
  await until(async () => {
    const items = await stack.items("ada", folder.id);
    return items.some((item) => item.name === "upload.txt" && item.sha1 === sha1);
  });
  await ada.fine("06-uploaded");
  await ada.page.getByRole("button", { name: "Close", exact: true }).click();
  await row("upload.txt").waitFor();
  ada.quiet();
});

test("a second person sees none of it", async () => {
  const grace = await Window.open(browser);
  await grace.signIn(stack.page, "Grace Hopper");
  await listed(grace);
  assert.equal(await grace.page.getByText("picture.png").count(), 0);
  await grace.fine("07-second-person");
  grace.quiet();
  await grace.page.context().close();
});

test("as another person: the same window shows the other's files", async () => {
  await ada.page.getByRole("button", { name: "As another person" }).click();
  await ada.page.getByRole("button", { name: "Grace Hopper" }).click();
  await ada.page.getByText("Grace Hopper").waitFor();
  await listed(ada);
  assert.equal(await row("picture.png").count(), 0);
  await ada.page.getByRole("button", { name: "As another person" }).click();
  await ada.page.getByRole("button", { name: "Ada Lovelace" }).click();
  await row("Papers").waitFor();
  ada.quiet();
});

async function needs(t, name) {
  if (await stack.hasInOpenApi(name)) return true;
  t.skip(`the service does not know ${name} yet`);
  return false;
}

test("a token that Box has ended is replaced without a reload", async (t) => {
  if (!(await needs(t, "rejected_token_sha256"))) return;
  const { access_token } = await stack.boxToken("ada");
  await stack.revokeAtBox(access_token);
  await row("Papers").getByText("Papers").click();
  await row("note.txt").waitFor();
  ada.quiet("status of 401");
});

test("a token that expires at Box first is replaced without a reload", async (t) => {
  if (!(await needs(t, "rejected_token_sha256"))) return;
  await stack.moveBoxClock(2 * 3600);
  await ada.page.getByText("All Files").first().click();
  await row("Papers").waitFor();
  await stack.moveBoxClock(0);
  ada.quiet("status of 401");
});

test("on a small screen and in the dark it is the same page", async () => {
  const small = await Window.open(browser, {
    viewport: { width: 390, height: 844 },
    colorScheme: "dark",
  });
  await small.signIn(stack.page, "Ada Lovelace");
  await small.page.getByText("Papers").waitFor();
  await small.fine("08-small-and-dark");
  const wide = await small.page.evaluate(
    () => document.documentElement.scrollWidth - window.innerWidth,
  );
  assert.ok(wide <= 0, "it scrolls sideways");
  small.quiet();
  await small.page.context().close();
});

test("the page in Vue has the same files, in a list of its own", async () => {
  const vue = await Window.open(browser);
  await vue.page.goto(`${stack.page}/vue/`);
  await vue.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await vue.page.getByRole("button", { name: "Ada Lovelace" }).click();
  await vue.page.getByText("picture.png").waitFor();
  await vue.fine("13-vue");
  await vue.page.getByRole("button", { name: "Papers" }).click();
  await vue.page.getByText("note.txt").waitFor();
  const content = Buffer.from(`uploaded with Vue at ${Date.now()}`);
  const file = { name: "vue.txt", mimeType: "text/plain", buffer: content };
  await vue.page.getByLabel("Upload a file").setInputFiles(file);
  await vue.page.getByText("vue.txt").waitFor();
  const papers = (await stack.items("ada")).find(({ name }) => name === "Papers");
  const items = await stack.items("ada", papers.id);
  const sha1 = createHash("sha1").update(content).digest("hex");
  assert.equal(items.find(({ name }) => name === "vue.txt")?.sha1, sha1);
  vue.quiet();
  await vue.page.getByLabel("Upload a file").setInputFiles(file);
  await vue.page.getByText("a file of that name").waitFor();
  await vue.fine("14-vue-refusal");
  vue.quiet("status of 409");
  await vue.page.context().close();
});

test("with the login away a reload says so, and can be tried again", async () => {
  await stack.setIdpDown(true);
  await ada.page.reload();
  await ada.page.getByText("The login cannot be reached").waitFor();
  await ada.fine("09-login-away");
  await stack.setIdpDown(false);
  await ada.page.getByRole("button", { name: "Try again" }).click();
  await row("Papers").waitFor();
  ada.quiet("status of 503", "blocked by CORS", "ERR_FAILED");
});

test("with the service away the files stay, and the page says so", async () => {
  await ada.page.route(`${stack.api}/**`, (route) => route.abort());
  await ada.page.getByText("service_unreachable").waitFor();
  await ada.fine("10-service-away");
  await ada.page.unroute(`${stack.api}/**`);
  await ada.page.getByText("service_unreachable").waitFor({ state: "detached" });
  ada.quiet("ERR_FAILED");
});

test("signing out everywhere stops an open page at once", async (t) => {
  if (!(await needs(t, "/v1/tokens"))) return;
  const other = await Window.open(browser);
  await other.signIn(stack.page, "Ada Lovelace");
  await other.page.getByRole("button", { name: "Sign out everywhere" }).click();
  await ada.page.getByText("You were signed out everywhere").waitFor({ timeout: 2000 });
  await ada.fine("11-signed-out-everywhere");
  ada.quiet("status of 401");
  await other.page.context().close();
  await ada.signIn(stack.page, "Ada Lovelace");
});

test("a lock stops an open page at once", async () => {
  await stack.account("lock", stack.idp, "ada");
  await ada.page.getByText("has locked your account").waitFor({ timeout: 3000 });
  await ada.fine("12-locked");
  ada.quiet("status of 403");
});

test("signing out ends at the welcome", async () => {
  await ada.page.getByRole("button", { name: "Sign out", exact: true }).click();
  await ada.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await ada.page.reload();
  await ada.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  ada.quiet();
});

async function until(holds) {
  for (let left = 50; left > 0; left -= 1) {
    if (await holds()) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  assert.fail("it did not come to hold in five seconds");
}
