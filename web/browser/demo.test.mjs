/** The demo in a real browser: one person's day, against the stack of `make demo`. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { startBrowser, Window } from "./browser.mjs";
import { OWN_ORIGIN, startStack } from "./stack.mjs";

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
  { type: "file", name: "page.constructor", content: "<script>alert(1)</script>" },
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

/** One after the other, each where the one before left off: not past one that failed. */
let hasFailed = false;
function step(name, walk) {
  test(name, async (t) => {
    if (hasFailed) return t.skip("an earlier step failed");
    hasFailed = true;
    await walk();
    hasFailed = false;
  });
}

function sha1(content) {
  return createHash("sha1").update(content).digest("hex");
}

/** The file has come to Box as it was sent. */
async function stands(name, content, folder) {
  const parent = (await stack.items("ada")).find((item) => item.name === folder);
  await until(async () => {
    const items = await stack.items("ada", parent.id);
    return items.some((item) => item.name === name && item.sha1 === sha1(content));
  });
}

step("a page of one's own is answered, and a stranger's is not", async () => {
  for (const [origin, allowed] of [
    [OWN_ORIGIN, OWN_ORIGIN],
    ["http://localhost:5999", null],
  ]) {
    const headers = { Origin: origin, "Access-Control-Request-Method": "GET" };
    const answer = await fetch(`${stack.api}/v1/me`, { method: "OPTIONS", headers });
    assert.equal(answer.headers.get("Access-Control-Allow-Origin"), allowed);
    const { access_token } = await stack.boxToken("kurt");
    const authorized = { Origin: origin, Authorization: `Bearer ${access_token}` };
    const items = `${stack.box}/2.0/folders/0/items`;
    const { status } = await fetch(items, { headers: authorized });
    assert.equal(status, allowed ? 200 : 403);
  }
});

step("nobody is signed in: the page says what to do", async () => {
  ada = await Window.open(browser);
  await ada.page.goto(stack.page);
  await ada.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await ada.fine("01-signed-out");
  ada.quiet();
});

step("the first login shows what the first day brings, and nothing else", async () => {
  await ada.signIn(stack.page, "Ada Lovelace");
  await ada.row("Ada Lovelace").waitFor();
  assert.equal(await ada.page.getByRole("row").count(), 3, "a header and two folders");
  await ada.row("For everybody").waitFor();
  await ada.page.getByText("app, active").waitFor();
  await ada.page.getByText("4 of 4 steps done").waitFor();
  await ada.page.getByText("Folder Ada Lovelace/Invoices").waitFor();
  await ada.fine("02-first-login");
  await ada.enter("Ada Lovelace");
  await ada.row("Invoices").waitFor();
  await ada.row("Welcome.txt").waitFor();
  ada.quiet();
});

step(
  "a reload brings the person back, and costs no call from the service to Box",
  async () => {
    const { box_user_id } = await stack.boxToken("ada");
    await stack.seed(box_user_id, FOLDERS);
    await ada.page.reload();
    await ada.row("Papers").waitFor();
    await ada.page.waitForResponse((answer) =>
      answer.url().includes("/inspector/calls"),
    );
    await ada.page.getByText("Each of them").click();
    assert.equal(await ada.page.getByTestId("service-to-box").textContent(), "0");
    await ada.fine("03-files");
    ada.quiet();
  },
);

step(
  "text, pictures and documents are shown, each with a token of its own",
  async () => {
    const picture = await ada.preview("picture.png");
    await picture.getByRole("img").waitFor();
    await ada.fine("04-preview-picture");
    const document = await ada.preview("letter.pdf");
    await document.locator("iframe").waitFor();
    for (const name of ["archive.zip", "page.constructor"]) {
      const other = await ada.preview(name);
      await other.getByText("There is no preview").waitFor();
    }
    await ada.page.getByRole("button", { name: "Close the preview" }).click();
    await ada.enter("Papers");
    await ada.row("note.txt").focus();
    await ada.page.keyboard.press("Enter");
    const text = ada.page.getByRole("complementary", { name: "Preview of note.txt" });
    await text.getByText(NOTE.trim()).waitFor();
    await ada.fine("05-preview-text");
    ada.quiet();
  },
);

step("a preview that was closed too soon keeps nothing of its file", async () => {
  await ada.page.evaluate(() => {
    window.openUrls = new Set();
    const { createObjectURL, revokeObjectURL } = URL;
    URL.createObjectURL = (blob) => {
      const url = createObjectURL.call(URL, blob);
      if (blob.type === "image/png") window.openUrls.add(url);
      return url;
    };
    URL.revokeObjectURL = (url) => {
      window.openUrls.delete(url);
      revokeObjectURL.call(URL, url);
    };
  });
  const content = /files.\d+.content/;
  let letGo;
  const gate = new Promise((open) => {
    letGo = open;
  });
  await ada.page.route(content, (route) => gate.then(() => route.continue()));
  const asked = ada.page.waitForRequest(content);
  await ada.page.getByText("All Files").first().click();
  await ada.preview("picture.png");
  await asked;
  await ada.page.getByRole("button", { name: "Close the preview" }).click();
  const answered = ada.page.waitForResponse(content);
  letGo();
  await (await answered).finished();
  await ada.page.evaluate(() => new Promise((wake) => setTimeout(wake, 100)));
  assert.equal(await ada.page.evaluate(() => window.openUrls.size), 0);
  await ada.page.unroute(content);
  await (await ada.preview("picture.png")).getByRole("img").waitFor();
  assert.equal(await ada.page.evaluate(() => window.openUrls.size), 1);
  await ada.enter("Papers");
  ada.quiet();
});

step("a file that the Explorer uploads stands at Box with the same SHA-1", async () => {
  const buffer = Buffer.from(`uploaded at ${Date.now()}`);
  await ada.page.getByRole("button", { name: "Close the preview" }).click();
  await ada.page.getByRole("button", { name: "Add" }).click();
  await ada.page.getByText("Upload", { exact: true }).click();
  const chosen = ada.page.locator('input[type="file"]').first();
  await chosen.setInputFiles({ name: "upload.txt", mimeType: "text/plain", buffer });
  await ada.page.getByRole("button", { name: "Upload", exact: true }).click();
  await stands("upload.txt", buffer, "Papers");
  const close = ada.page.getByRole("button", { name: "Close", exact: true });
  const words = await ada.page.getByText("Success!").boundingBox();
  assert.ok((await close.boundingBox()).y > words.y, "the footer is below the files");
  await ada.fine("06-explorer-uploaded");
  await close.click();
  await ada.row("upload.txt").waitFor();
  ada.quiet();
});

step("so does one of the Uploader, whose token is for that folder alone", async () => {
  const buffer = Buffer.from(`sent at ${Date.now()}`);
  await ada.page.getByRole("button", { name: "Send files to Papers" }).click();
  const uploader = ada.page.getByRole("complementary", {
    name: "Send files to Papers",
  });
  await uploader.getByText("Drag and drop files").waitFor();
  await ada.fine("07-uploader");
  const asked = ada.page.waitForRequest((request) => /v1.token$/.test(request.url()));
  const chosen = uploader.locator('input[type="file"]').first();
  await chosen.setInputFiles({ name: "sent.txt", mimeType: "text/plain", buffer });
  await uploader.getByRole("button", { name: "Upload", exact: true }).click();
  const { profile, resource } = (await asked).postDataJSON();
  const papers = (await stack.items("ada")).find(({ name }) => name === "Papers");
  assert.deepEqual([profile, resource], ["uploader", `folder_${papers.id}`]);
  await stands("sent.txt", buffer, "Papers");
  await ada.row("sent.txt").first().waitFor();
  await ada.fine("08-uploader-done");
  await uploader.getByRole("button", { name: "Close", exact: true }).click();
  await uploader.waitFor({ state: "detached" });
  ada.quiet();
});

step("a second person sees none of it", async () => {
  const grace = await Window.open(browser);
  await grace.signIn(stack.page, "Grace Hopper");
  await grace.listed();
  assert.equal(await grace.page.getByText("picture.png").count(), 0);
  await grace.fine("09-second-person");
  grace.quiet();
  await grace.page.context().close();
});

step("as another person: the same window shows the other's files", async () => {
  await ada.page.getByRole("button", { name: "As another person" }).click();
  await ada.page.getByRole("button", { name: "Grace Hopper" }).click();
  await ada.page.getByRole("banner").getByText("Grace Hopper").waitFor();
  await ada.listed();
  assert.equal(await ada.row("picture.png").count(), 0);
  await ada.page.getByRole("button", { name: "As another person" }).click();
  await ada.page.getByRole("button", { name: "Ada Lovelace" }).click();
  await ada.row("Papers").waitFor();
  ada.quiet();
});

step("whoever goes back to a page that was left meets nobody there", async () => {
  for (const page of [stack.page, `${stack.page}/vue/`]) {
    const shared = await Window.open(browser);
    const inFront = shared.page.getByRole("banner");
    const signIn = shared.page.getByRole("button", { name: "Sign in", exact: true });
    await shared.page.goto(page);
    await signIn.click();
    await shared.page.getByRole("button", { name: "Ada Lovelace" }).click();
    await inFront.getByText("Ada Lovelace").waitFor();
    await shared.page.getByText("For everybody").first().waitFor();
    await shared.page.getByRole("button", { name: "As another person" }).click();
    await shared.page.getByRole("button", { name: "Grace Hopper" }).click();
    await inFront.getByText("Grace Hopper").waitFor();
    await shared.page.getByText("For everybody").first().waitFor();
    await shared.back();
    await shared.page.getByText("Who are you?").waitFor();
    await shared.back();
    // Where the browser has not kept it, Grace is signed in anew.
    await signIn.or(inFront.getByText("Grace Hopper")).waitFor();
    assert.equal(await inFront.getByText("Ada Lovelace").count(), 0);
    shared.quiet();
    await shared.page.context().close();
  }
});

step("a login that came to nothing leaves no code in the address", async () => {
  for (const page of [stack.page, `${stack.page}/vue/`]) {
    const unlucky = await Window.open(browser);
    await unlucky.page.route(`${stack.idp}/token`, (route) => route.abort());
    await unlucky.page.goto(page);
    await unlucky.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await unlucky.page.getByRole("button", { name: "Ada Lovelace" }).click();
    await unlucky.page.getByText("The login came to nothing").waitFor();
    assert.equal(new URL(unlucky.page.url()).search, "");
    unlucky.quiet("ERR_FAILED");
    await unlucky.page.context().close();
  }
});

step("a token that Box has ended is replaced without a reload", async () => {
  const { access_token } = await stack.boxToken("ada");
  await stack.revokeAtBox(access_token);
  await ada.enter("Papers");
  await ada.row("note.txt").waitFor();
  ada.quiet("status of 401");
});

step("a token that expires at Box first is replaced without a reload", async () => {
  await stack.moveBoxClock(2 * 3600);
  await ada.page.getByText("All Files").first().click();
  await ada.row("Papers").waitFor();
  await stack.moveBoxClock(0);
  ada.quiet("status of 401");
});

step("on a small screen and in the dark it is the same page", async () => {
  const small = await Window.open(browser, {
    viewport: { width: 390, height: 844 },
    colorScheme: "dark",
  });
  await small.signIn(stack.page, "Ada Lovelace");
  await small.page.getByText("Papers").waitFor();
  await small.fine("10-small-and-dark");
  await small.page.getByRole("button", { name: "Send files to All Files" }).click();
  await small.page.getByText("Browse your device").waitFor();
  const uploader = small.page.getByRole("complementary");
  await small.page.waitForFunction(() => window.scrollY > 0);
  assert.ok(await uploader.isVisible());
  await small.fine("11-small-uploader");
  const wide = await small.page.evaluate(
    () => document.documentElement.scrollWidth - window.innerWidth,
  );
  assert.ok(wide <= 0, "it scrolls sideways");
  small.quiet();
  await small.page.goto(`${stack.page}/vue/`);
  await small.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await small.page.getByRole("button", { name: "Ada Lovelace" }).click();
  await small.page.getByText("picture.png").waitFor();
  await small.fine("12-small-vue");
  small.quiet();
  await small.page.context().close();
});

step("the page in Vue has the same files, in a list of its own", async () => {
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
  await stands("vue.txt", content, "Papers");
  vue.quiet();
  await vue.page.getByLabel("Upload a file").setInputFiles(file);
  await vue.page.getByText("a file of that name").waitFor();
  await vue.fine("14-vue-refusal");
  vue.quiet("status of 409");
  await vue.page.context().close();
});

step("a first day's set-up that goes on is said, and seen as it comes", async () => {
  const grace = await Window.open(browser);
  const slowly = async (route) => {
    const answer = await route.fetch();
    const me = await answer.json();
    for (const each of me.box?.provisioning.slice(2) ?? []) each.state = "pending";
    await route.fulfill({ response: answer, json: me });
  };
  await grace.page.route("**/v1/me", slowly);
  await grace.signIn(stack.page, "Grace Hopper");
  await grace.page.getByText("Your folders are being set up").waitFor();
  await grace.listed();
  await grace.fine("15-set-up-under-way");
  const listing = (request) => /folders.0\?/.test(request.url());
  const looksAgain = grace.page.waitForRequest(listing);
  await grace.page.unroute("**/v1/me", slowly);
  await grace.page.getByText("4 of 4 steps done").waitFor();
  await looksAgain;
  assert.equal(await grace.page.getByText("Your folders are being set up").count(), 0);
  grace.quiet();
  await grace.page.context().close();
});

step("a set-up that Box refuses is said, and keeps nobody from the files", async () => {
  await stack.breakFolders(403);
  for (const page of [stack.page, `${stack.page}/vue/`]) {
    const emmy = await Window.open(browser);
    await emmy.page.goto(page);
    await emmy.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await emmy.page.getByRole("button", { name: "Emmy Noether" }).click();
    await emmy.page.getByText("Your set-up is not complete").waitFor();
    await emmy.page.getByText("For everybody").first().waitFor();
    await emmy.fine(page === stack.page ? "16-set-up-failed" : "17-vue-set-up-failed");
    emmy.quiet();
    await emmy.page.context().close();
  }
  await stack.mend();
});

step("with the login away a reload says so, and can be tried again", async () => {
  await stack.setIdpDown(true);
  await ada.page.reload();
  await ada.page.getByText("The login cannot be reached").waitFor();
  await ada.fine("18-login-away");
  await stack.setIdpDown(false);
  await ada.page.getByRole("button", { name: "Try again" }).click();
  await ada.row("Papers").waitFor();
  ada.quiet("status of 503", "blocked by CORS", "ERR_FAILED");
});

step("with the service away from the start the page says so", async () => {
  const early = await Window.open(browser);
  await early.page.route(`${stack.api}/**`, (route) => route.abort());
  for (const page of [stack.page, `${stack.page}/vue/`]) {
    await early.page.goto(page);
    await early.page.getByText("The service cannot be reached").waitFor();
  }
  await early.page.goto(stack.page);
  await early.page.getByText("The service cannot be reached").waitFor();
  await early.fine("19-service-away-at-first");
  await early.page.unroute(`${stack.api}/**`);
  await early.page.getByRole("button", { name: "Try again" }).click();
  await early.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  early.quiet("ERR_FAILED");
  await early.page.context().close();
});

step("with the service away the files stay, and the page says so", async () => {
  await ada.page.route(`${stack.api}/**`, (route) => route.abort());
  await ada.page.getByText("service_unreachable").waitFor();
  await ada.fine("20-service-away");
  await ada.page.unroute(`${stack.api}/**`);
  await ada.page.getByText("service_unreachable").waitFor({ state: "detached" });
  ada.quiet("ERR_FAILED");
});

step("signing out everywhere stops an open page at once", async () => {
  const other = await Window.open(browser);
  await other.signIn(stack.page, "Ada Lovelace");
  await other.page.getByRole("button", { name: "Sign out everywhere" }).click();
  await ada.page.getByText("You were signed out everywhere").waitFor({ timeout: 2000 });
  await ada.fine("21-signed-out-everywhere");
  ada.quiet("status of 401");
  await other.page.context().close();
  await ada.signIn(stack.page, "Ada Lovelace");
});

step("a lock stops an open page at once", async () => {
  await stack.account("lock", stack.idp, "ada");
  await ada.page.getByText("has locked your account").waitFor({ timeout: 3000 });
  await ada.fine("22-locked");
  ada.quiet("status of 403");
});

step("signing out ends at the welcome", async () => {
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
