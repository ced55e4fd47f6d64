import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

// Beside the React page, on the same server: build that one first.
export default defineConfig({
  base: "/vue/",
  plugins: [vue()],
  resolve: { conditions: ["sso-box-source", "module", "browser"] },
  build: {
    target: "es2022",
    outDir: "../demo/dist/vue",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
  },
});
