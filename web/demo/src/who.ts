/**
 * Who was signed in to this tab, so that a reload need not ask.
 *
 * A name and no token: the login itself comes from the provider, without a page where
 * it knows the person still (`prompt=none`). The local one keeps no session and goes
 * by the hint.
 */

const KEY = "sso-box-demo.who";

export const who = {
  get: () => sessionStorage.getItem(KEY),
  set: (hint: string) => sessionStorage.setItem(KEY, hint),
  forget: () => sessionStorage.removeItem(KEY),
};
