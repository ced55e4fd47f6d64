/** What a page asks for, as state of a component. */

import type { ElementsOptions, ElementsToken, Me, SsoBoxError } from "@sso-box/client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useInside, useSsoBox } from "./provider.js";

export interface Asked<T> {
  /** The latest answer; it stays while another is on its way. */
  readonly data: T | undefined;
  readonly error: SsoBoxError | undefined;
  readonly isLoading: boolean;
  /** Ask again. */
  reload(): void;
}

interface Answer<T> {
  /** Whose it is. */
  readonly of?: unknown;
  readonly data?: T | undefined;
  readonly error?: SsoBoxError;
}

/**
 * What the service answers to `ask`, which has to be stable (`useCallback`). Where
 * somebody else signs in, it is asked anew, and nothing is left of the answer before.
 */
export function useAsked<T>(ask: () => Promise<T>): Asked<T> {
  const { arrival } = useInside();
  const [kept, setAnswer] = useState<Answer<T>>({});
  const answer: Answer<T> = kept.of === arrival ? kept : {};
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a round asks again
  useEffect(() => {
    if (arrival?.person === null) return;
    let isCurrent = true;
    ask().then(
      (data) => isCurrent && setAnswer({ of: arrival, data }),
      (error) => {
        const fails = ({ of, data }: Answer<T>) =>
          of === arrival ? { of, data, error } : { of: arrival, error };
        if (isCurrent) setAnswer(fails);
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [ask, arrival, round]);
  const reload = useCallback(() => setRound((number) => number + 1), []);
  const isLoading = answer.data === undefined && answer.error === undefined;
  return { data: answer.data, error: answer.error, isLoading, reload };
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
  const asking = useRef(0);
  const ask = useCallback(async () => {
    asking.current += 1;
    try {
      return await box.me();
    } finally {
      asking.current -= 1;
    }
  }, [box]);
  const asked = useAsked(ask);
  const { reload } = asked;
  useEffect(() => {
    if (every === undefined || loginRequired) return;
    const timer = setInterval(() => {
      // Not past one that is under way: a slow answer would never be the latest.
      if (document.visibilityState === "visible" && !asking.current) reload();
    }, every);
    return () => clearInterval(timer);
  }, [every, reload, loginRequired]);
  return asked;
}

/** The `token` of Box UI Elements; the same function from render to render. */
export function useElementsToken(options: ElementsOptions = {}): ElementsToken {
  const { box } = useSsoBox();
  const key = JSON.stringify(options);
  return useMemo(() => box.elementsToken(JSON.parse(key)), [box, key]);
}
