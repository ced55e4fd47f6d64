/** Whether the samples of docs/frontend.md that are whole files have the right types. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = readFileSync(new URL("../docs/frontend.md", import.meta.url), "utf8");
// A first line such as `// React: Page.tsx`; of neither framework it is for both.
const WHOLE =
  /^```\w+\n(?:\/\/|<!--) (?:(React|Vue): )?([\w.]+)(?: -->)?\n(.*?)^```/gms;
const FRAMEWORKS = { React: { jsx: "react-jsx" }, Vue: {} };

const folder = mkdtempSync(join(import.meta.dirname, ".samples-"));
try {
  const statuses = Object.entries(FRAMEWORKS).map(([framework, options]) => {
    const place = join(folder, framework);
    mkdirSync(place);
    const samples = [...PAGE.matchAll(WHOLE)].filter(
      ([, of]) => of === undefined || of === framework,
    );
    for (const [, , name, code] of samples) writeFileSync(join(place, name), code);
    if (samples.length < 4) throw new Error(`${framework}: samples are missing`);
    const settings = {
      extends: "../../tsconfig.base.json",
      compilerOptions: { ...options, noEmit: true },
    };
    writeFileSync(join(place, "tsconfig.json"), JSON.stringify(settings));
    return spawnSync("vue-tsc", ["--project", place], { stdio: "inherit" }).status;
  });
  process.exitCode = statuses.every((status) => status === 0) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
