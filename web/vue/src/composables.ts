/** What a page asks for, as refs of a component. */

import type { ElementsOptions, ElementsToken, Me, SsoBoxError } from "@sso-box/client";
import {
  type MaybeRefOrGetter,
  onScopeDispose,
  type Ref,
  ref,
  shallowRef,
  toValue,
  type WatchSource,
  watch,
} from "vue";
import { useInside, useSsoBox } from "./plugin.js";

export interface Asked<T, E = Error> {
  /** The latest answer to this question; it stays while another is on its way. */
  readonly data: Readonly<Ref<T | undefined>>;
  /** Of the service and of `boxFetch` an `SsoBoxError`. */
  readonly error: Readonly<Ref<E | undefined>>;
  /** Nothing is known yet; false where the person has signed out. */
  readonly isLoading: Readonly<Ref<boolean>>;
  /** Ask again. */
  reload(): Promise<void>;
}

/**
 * What is answered to `ask`: of each person, and of each state of `sources`, anew.
 *
 * `sources` are those of `watch`: what `ask` uses of the component, such as
 * `() => props.folder`. What was answered before they changed is not shown any more.
 */
export function useAsked<T>(
  ask: () => Promise<T>,
  sources: WatchSource | WatchSource[] = [],
): Asked<T> {
  const { isLoading: isComingBack, arrival } = useInside();
  const data = shallowRef<T>();
  const error = shallowRef<Error>();
  const isLoading = ref(true);
  let latest = 0;
  async function reload(): Promise<void> {
    // It is about to be known who asks, or nobody is there any more.
    if (isComingBack.value || arrival.value?.person === null) return;
    latest += 1;
    const mine = latest;
    try {
      const answer = await ask();
      if (mine !== latest) return;
      data.value = answer;
      error.value = undefined;
    } catch (reason) {
      if (mine !== latest) return;
      error.value = reason as Error;
    }
    isLoading.value = false;
  }
  function askAnew(): void {
    latest += 1;
    data.value = undefined;
    error.value = undefined;
    isLoading.value = arrival.value?.person !== null;
    void reload();
  }
  watch([isComingBack, sources].flat(), askAnew, { immediate: true });
  onScopeDispose(() => {
    latest = Number.NaN;
  });
  // At once: what is shown is of whoever has gone.
  watch(arrival, askAnew, { flush: "sync" });
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
export function useMe({ every }: MeOptions = {}): Asked<Me, SsoBoxError> {
  const { box, isLoading, loginRequired } = useSsoBox();
  let asking = 0;
  const asked = useAsked(async () => {
    asking += 1;
    try {
      return await box.me();
    } finally {
      asking -= 1;
    }
  });
  if (every !== undefined && typeof window !== "undefined") {
    const timer = setInterval(() => {
      const isLookedAt = document.visibilityState === "visible";
      const isOfUse = !isLoading.value && !loginRequired.value;
      // Not past one that is under way: a slow answer would never be the latest.
      if (isLookedAt && isOfUse && !asking) void asked.reload();
    }, every);
    onScopeDispose(() => clearInterval(timer));
  }
  return asked as Asked<Me, SsoBoxError>;
}

/** The `token` of Box UI Elements; of a ref or getter, by what it says then. */
export function useElementsToken(
  options: MaybeRefOrGetter<ElementsOptions> = {},
): ElementsToken {
  const { box } = useSsoBox();
  const token = (ids: string) => box.elementsToken(toValue(options))(ids);
  return token as ElementsToken;
}
