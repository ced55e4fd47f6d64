/** What a page asks for, as state of a component. */

import type { ElementsOptions, ElementsToken, Me, SsoBoxError } from "@sso-box/client";
import {
  type DependencyList,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useAuth } from "react-oidc-context";
import { useInside, useSsoBox } from "./provider.js";

export interface Asked<T, E = Error> {
  /** The latest answer to this question; it stays while another is on its way. */
  readonly data: T | undefined;
  /** Of the service and of `boxFetch` an `SsoBoxError`. */
  readonly error: E | undefined;
  /** Nothing is known yet; false where the person has signed out. */
  readonly isLoading: boolean;
  /** Ask again. */
  reload(): void;
}

interface Answer<T> {
  readonly question?: object;
  readonly data?: T | undefined;
  readonly error?: Error;
}

/**
 * What is answered to `ask`: of each person, and of each set of `deps`, anew.
 *
 * `deps` are those of `useEffect`: what `ask` uses of the component, such as the id of a
 * folder. What was answered before they changed is not shown any more.
 */
export function useAsked<T>(
  ask: () => Promise<T>,
  deps: DependencyList = [],
): Asked<T> {
  const { box, arrival } = useInside();
  const { isLoading: isComingBack } = useAuth();
  const [latest, setLatest] = useState<Answer<T>>({});
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each makes another question
  const question = useMemo(() => ({}), [box, arrival, ...deps]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a round asks again
  useEffect(() => {
    // It is about to be known who asks, or nobody is there any more.
    if (isComingBack || arrival?.person === null) return;
    let isCurrent = true;
    ask().then(
      (data) => isCurrent && setLatest({ question, data }),
      (error) => {
        if (!isCurrent) return;
        setLatest((before) => {
          const data = before.question === question ? before.data : undefined;
          return { question, data, error };
        });
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [question, round, isComingBack]);
  const reload = useCallback(() => setRound((number) => number + 1), []);
  const isKnown = latest.question === question;
  const { data, error } = isKnown ? latest : {};
  const isLoading = !isKnown && arrival?.person !== null;
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
  const { box, loginRequired } = useSsoBox();
  const { isLoading } = useAuth();
  const asking = useRef(0);
  const asked = useAsked(async () => {
    asking.current += 1;
    try {
      return await box.me();
    } finally {
      asking.current -= 1;
    }
  });
  const { reload } = asked;
  useEffect(() => {
    if (every === undefined || isLoading || loginRequired) return;
    const timer = setInterval(() => {
      // Not past one that is under way: a slow answer would never be the latest.
      if (document.visibilityState === "visible" && !asking.current) reload();
    }, every);
    return () => clearInterval(timer);
  }, [every, reload, isLoading, loginRequired]);
  return asked as Asked<Me, SsoBoxError>;
}

/** The `token` of Box UI Elements; the same function from render to render. */
export function useElementsToken(options: ElementsOptions = {}): ElementsToken {
  const { box } = useSsoBox();
  const key = JSON.stringify(options);
  return useMemo(() => box.elementsToken(JSON.parse(key)), [box, key]);
}
