/** The demo's own stack as a child process, on free ports, and its control routes. */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

const PYTHON = new URL("../../.venv/bin/python", import.meta.url).pathname;
const PORTS = ["api", "box", "idp", "web"].flatMap((part) => [`--${part}-port`, "0"]);
/** Of a page that is not the demo's. */
export const OWN_ORIGIN = "http://localhost:5174";

export async function startStack() {
  const child = spawn(PYTHON, [
    "-m",
    "sso_box_devkit",
    "demo",
    ...PORTS,
    "--origin",
    OWN_ORIGIN,
  ]);
  const said = [];
  child.stderr.on("data", (text) => said.push(String(text)));
  const found = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const place = /^ {2}(page|API|Box emulator|IdP) +(http\S+)$/.exec(line);
    if (place) found[place[1]] = place[2];
    const env = /^ {2}\. (\S+)$/.exec(line);
    if (env) found.env = env[1];
    if (line.startsWith("Ctrl-C")) break;
  }
  if (!found.page) throw new Error(`the demo did not start:\n${said.join("")}`);
  const stop = () =>
    new Promise((ended) => {
      child.once("exit", ended);
      child.kill("SIGTERM");
    });
  return new Stack(found, stop);
}

class Stack {
  constructor(found, stop) {
    this.page = found.page;
    this.api = found.API;
    this.box = found["Box emulator"];
    this.idp = found.IdP;
    this.stop = stop;
    this.env = found.env;
  }

  async seed(userId, items) {
    const name = "the one with this id";
    await send(`${this.box}/_emulator/seed`, "POST", {
      users: [{ name, id: userId, items }],
    });
  }

  /** What Box answers to the making of folders, until `mend`. */
  async breakFolders(status) {
    const fault = { method: "POST", path: "/2.0/folders", times: 100, status };
    await send(`${this.box}/_emulator/faults`, "POST", fault);
  }

  async mend() {
    await send(`${this.box}/_emulator/faults`, "DELETE");
  }

  async moveBoxClock(seconds) {
    await send(`${this.box}/_emulator/settings`, "PATCH", { clock_offset_s: seconds });
  }

  async setIdpDown(down) {
    await send(`${this.idp}/_idp/down`, "POST", { down });
  }

  /** A Box token, as a page of this person would get it. */
  async boxToken(person, profile = "explorer") {
    const mint = { claims: { sub: person } };
    const { id_token } = await send(`${this.idp}/_idp/mint`, "POST", mint);
    const headers = { Authorization: `Bearer ${id_token}` };
    return send(`${this.api}/v1/token`, "POST", { profile }, headers);
  }

  /** What stands in the folder, asked for at the emulator itself. */
  async items(person, folderId = "0") {
    const { access_token } = await this.boxToken(person);
    const path = `/2.0/folders/${folderId}/items?fields=id,name,type,sha1`;
    const headers = { Authorization: `Bearer ${access_token}` };
    return (await send(`${this.box}${path}`, "GET", undefined, headers)).entries;
  }

  async revokeAtBox(accessToken) {
    const config = JSON.parse(readFileSync(join(dirname(this.env), "box-config.json")));
    const { clientID, clientSecret } = config.boxAppSettings;
    const body = new URLSearchParams({
      client_id: clientID,
      client_secret: clientSecret,
      token: accessToken,
    });
    const answer = await fetch(`${this.box}/oauth2/revoke`, { method: "POST", body });
    if (!answer.ok) throw new Error(`revoke: ${answer.status}`);
  }

  /** Whether the API has the member or route yet. */
  async hasInOpenApi(name) {
    return JSON.stringify(await send(`${this.api}/openapi.json`)).includes(`"${name}"`);
  }

  /** `sso-box-api account …` with the settings of the running API. */
  async account(...words) {
    const command = `. ${this.env} && sso-box-api account ${words.join(" ")}`;
    const child = spawn("sh", ["-c", command], { stdio: "ignore" });
    const code = await new Promise((ended) => child.once("exit", ended));
    if (code !== 0) throw new Error(`account ${words.join(" ")}: exit code ${code}`);
  }
}

async function send(url, method = "GET", body = undefined, headers = {}) {
  const answer = await fetch(url, {
    method,
    headers: { ...headers, ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status}`);
  return answer.status === 204 ? undefined : answer.json();
}
