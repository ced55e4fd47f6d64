import { defineConfig } from "vitest/config";

// Tests run on the sources of the packages, not on what was built last.
const resolve = { conditions: ["sso-box-source"] };
const ssr = { resolve: { conditions: ["sso-box-source"] } };

export default defineConfig({
  test: {
    projects: ["client", "react", "vue"].map((name) => ({
      resolve,
      ssr,
      test: {
        name,
        include: [`${name}/tests/**/*.test.{ts,tsx}`],
        environment: name === "client" ? "node" : "happy-dom",
        restoreMocks: true,
        unstubGlobals: true,
      },
    })),
  },
});
