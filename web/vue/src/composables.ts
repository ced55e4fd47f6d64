/** What a page asks for, as refs of a component. */

import type { ElementsOptions, ElementsToken, Me, SsoBoxError } from "@sso-box/client";
import { onScopeDispose, type Ref, ref, shallowRef, watch } from "vue";
import { useInside, useSsoBox } from "./plugin.js";

export interface Asked<T> {
  /** The latest answer; it stays while another is on its way. */
  readonly data: Readonly<Ref<T | undefined>>;
  readonly error: Readonly<Ref<SsoBoxError | undefined>>;
  readonly isLoading: Readonly<Ref<boolean>>;
  /** Ask again. */
  reload(): Promise<void>;
}

/**
 * What the service answers to `ask`, from now on. Where somebody else signs in, it is
 * asked anew, and nothing is left of the answer before.
 */
export function useAsked<T>(ask: () => Promise<T>): Asked<T> {
  const { arrival } = useInside();
  const data = shallowRef<T>();
  const error = shallowRef<SsoBoxError>();
  const isLoading = ref(true);
  let latest = 0;
  async function reload(): Promise<void> {
    latest += 1;
    const mine = latest;
    try {
      const answer = await ask();
      if (mine !== latest) return;
      data.value = answer;
      error.value = undefined;
    } catch (reason) {
      if (mine === latest) error.value = reason as SsoBoxError;
    }
    isLoading.value = false;
  }
  onScopeDispose(() => {
    latest = Number.NaN;
  });
  watch(
    arrival,
    (now) => {
      latest += 1;
      data.value = undefined;
      error.value = undefined;
      isLoading.value = true;
      if (now?.person !== null) void reload();
    },
    { flush: "sync" },
  );
  void reload();
  return { data, error, isLoading, reload };
}

export interface MeOptions {
  /**
   * Ask again every so many milliseconds while the page is looked at: then an open
   * page notices a lock or a sign-out elsewhere by itself. The service answers this
   * without asking Box.
   */
  readonly every?: number;
}

/** Who is signed in, and the Box user. */
export function useMe({ every }: MeOptions = {}): Asked<Me> {
  const { box, loginRequired } = useSsoBox();
  let asking = 0;
  const asked = useAsked(async () => {
    asking += 1;
    try {
      return await box.me();
    } finally {
      asking -= 1;
    }
  });
  if (every !== undefined) {
    const timer = setInterval(() => {
      const isLookedAt = document.visibilityState === "visible" && !loginRequired.value;
      // Not past one that is under way: a slow answer would never be the latest.
      if (isLookedAt && !asking) void asked.reload();
    }, every);
    onScopeDispose(() => clearInterval(timer));
  }
  return asked;
}

/** The `token` of Box UI Elements. */
export function useElementsToken(options: ElementsOptions = {}): ElementsToken {
  return useSsoBox().box.elementsToken(options);
}
