/** Every call that this page makes, for the inspector: no headers and no bodies. */

export interface Call {
  readonly at: number;
  readonly method: string;
  readonly url: string;
  status: number | null;
}

const calls: Call[] = [];
const listeners = new Set<() => void>();
let snapshot: readonly Call[] = [];

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function callsSoFar(): readonly Call[] {
  return snapshot;
}

/** Goes round `fetch`, which we use, and `XMLHttpRequest`, which the Explorer uses. */
export function watchCalls(): void {
  const { fetch } = window;
  window.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const call = noted(init?.method ?? "GET", url);
    const answer = await fetch(input, init);
    ended(call, answer.status);
    return answer;
  };
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (
    this: XMLHttpRequest,
    method: string,
    url: string | URL,
    ...rest: unknown[]
  ) {
    const call = noted(method, String(url));
    this.addEventListener("loadend", () => ended(call, this.status));
    Reflect.apply(open, this, [method, url, ...rest]);
  } as typeof open;
}

function noted(method: string, url: string): Call {
  const { origin, pathname } = new URL(url, location.href);
  const call = { at: Date.now(), method, url: `${origin}${pathname}`, status: null };
  // Our own files are no calls.
  if (origin !== location.origin) {
    calls.push(call);
    changed();
  }
  return call;
}

function ended(call: Call, status: number): void {
  call.status = status;
  changed();
}

function changed(): void {
  snapshot = calls.slice(-200);
  for (const listener of listeners) listener();
}
