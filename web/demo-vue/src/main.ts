import { createSsoBoxPlugin } from "@sso-box/vue";
import { createApp } from "vue";
import { type Boot, boot } from "../../demo/src/boot.js";
import "../../demo/src/styles.css";
import App from "./App.vue";
import ServiceAway from "./ServiceAway.vue";

boot().then(start, () => createApp(ServiceAway).mount("#page"));

function start({ addresses, config, users }: Boot): void {
  createApp(App, { addresses })
    .use(
      createSsoBoxPlugin({
        userManager: users,
        baseUrl: addresses.api,
        boxOrigins: [addresses.box],
        nonceProof: config.providers[0]?.nonce_proof ?? false,
      }),
    )
    .mount("#page");
}
