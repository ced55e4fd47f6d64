import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const SCRIPTS = ["explorer.js", "uploader.js"];
// It has the Uploader's in it.
const STYLE = "explorer.css";

/**
 * Box's own bundles, as they lie in the npm package, beside the page.
 *
 * They hold everything they need, so that none of the package's many peers is installed
 * and their React never meets the page's. The font comes from Box's CDN and is left out:
 * the page loads nothing from elsewhere.
 */
function boxElements(): Plugin {
  const { resolve } = createRequire(import.meta.url);
  const source = join(dirname(resolve("box-ui-elements/package.json")), "dist");
  return {
    name: "box-elements",
    apply: "build",
    writeBundle({ dir = "dist" }) {
      const target = join(dir, "elements");
      mkdirSync(target, { recursive: true });
      for (const name of SCRIPTS.flatMap((each) => [each, `${each}.LICENSE.txt`])) {
        copyFileSync(join(source, name), join(target, name));
      }
      const style = readFileSync(join(source, STYLE), "utf8");
      const ours = style.replace(/@font-face\{[^}]*\}/g, "");
      if (ours.includes("https://")) throw new Error(`${STYLE} loads from elsewhere`);
      writeFileSync(join(target, STYLE), ours);
    },
  };
}

export default defineConfig({
  plugins: [react(), boxElements()],
  resolve: { conditions: ["sso-box-source", "module", "browser"] },
  build: { target: "es2022", modulePreload: { polyfill: false } },
});
