/** Chromium without a way out, and what every page in it must keep to. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const SHOTS = new URL("../screenshots/", import.meta.url).pathname;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");
const LOOPBACK = new Set(["localhost", "127.0.0.1"]);

export async function startBrowser() {
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    // What a person's browser does, too: it keeps pages that were left.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ],
  });
}

/** One person's window; `complaints` is what the console and the network had to say. */
export class Window {
  static async open(browser, options = {}) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    return new Window(await context.newPage());
  }

  constructor(page) {
    this.page = page;
    this.complaints = [];
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) {
        this.complaints.push(message.text());
      }
    });
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (protocol.startsWith("http") && !LOOPBACK.has(hostname)) {
        this.complaints.push(`a way out: ${hostname}`);
      }
    });
  }

  async signIn(address, person) {
    await this.page.goto(address);
    await this.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await this.page.getByRole("button", { name: person }).click();
    await this.page.getByText("All Files").first().waitFor();
  }

  /** The Explorer's row; a click on its cells selects it. */
  row(name) {
    return this.page.getByRole("row").filter({ hasText: name });
  }

  async enter(folder) {
    await this.row(folder).getByText(folder).first().click();
  }

  /** The Explorer has shown what is in the folder, be it nothing. */
  async listed() {
    const nothing = this.page.getByText("There are no items in this folder");
    await nothing.or(this.page.getByRole("gridcell").first()).first().waitFor();
  }

  /** To the page before in the history, which the browser may have kept. */
  async back() {
    // Afterwards: what it leaves could not answer any more.
    await this.page.evaluate(() => void setTimeout(() => history.back()));
  }

  async preview(name) {
    await this.enter(name);
    const preview = this.page.getByRole("complementary", {
      name: `Preview of ${name}`,
    });
    await preview.waitFor();
    return preview;
  }

  /** Keep a picture, and hold what is on it against the rules of accessibility. */
  async fine(name) {
    await this.page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true });
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const found = await window.axe.run(document);
      return found.violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html.slice(0, 120))}`);
    });
    assert.deepEqual(violations, [], `accessibility of ${name}`);
  }

  /** `expected`: what the browser itself says of answers that the test provoked. */
  quiet(...expected) {
    const left = this.complaints.filter(
      (each) => !expected.some((known) => each.includes(known)),
    );
    this.complaints.length = 0;
    assert.deepEqual(left, [], "the console is not silent");
  }
}
