/** What a visitor downloads of the page's own before anybody is signed in. */

import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 150 * 1024;

const assets = new URL("dist/assets/", import.meta.url);
const bytes = readdirSync(assets)
  .map((name) => gzipSync(readFileSync(new URL(name, assets))).length)
  .reduce((sum, each) => sum + each, 0);
console.log(`demo: ${bytes} bytes compressed of ${LIMIT}`);
process.exitCode = bytes < LIMIT ? 0 : 1;
