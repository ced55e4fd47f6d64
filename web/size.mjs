/** What a page downloads of the client: minified and compressed, under 4 KiB. */

import { gzipSync } from "node:zlib";
import { build } from "vite";

const LIMIT = 4096;

const [{ output }] = await build({
  configFile: false,
  logLevel: "error",
  resolve: { conditions: ["sso-box-source"] },
  build: {
    write: false,
    target: "es2022",
    lib: { entry: "client/src/index.ts", formats: ["es"] },
    minify: "oxc",
  },
});
const bytes = gzipSync(output[0].code, { level: 9 }).length;
console.log(`client: ${bytes} bytes compressed of ${LIMIT}`);
process.exitCode = bytes < LIMIT ? 0 : 1;
