/** What was called since the page was loaded: by the page, and by the service at Box. */

import { useEffect, useState, useSyncExternalStore } from "react";
import type { Addresses } from "./boot.js";
import { type Call, callsSoFar, subscribe } from "./calls.js";

const LOOK_AGAIN_MS = 1500;

interface Line extends Call {
  readonly from: "page" | "service";
  readonly to: string;
}

export function Inspector({ addresses }: { readonly addresses: Addresses }) {
  const ours = useSyncExternalStore(subscribe, callsSoFar);
  const theirs = useCallsOfTheService();
  const lines = [...ours.map((call) => ofThePage(call, addresses)), ...theirs].sort(
    (one, other) => one.at - other.at,
  );
  const count = (from: string, to: string) =>
    lines.filter((line) => line.from === from && line.to === to).length;
  return (
    <section className="card inspector" aria-labelledby="inspector">
      <h2 id="inspector">Calls since this page was loaded</h2>
      <ul className="counts">
        <li>
          page → service <b>{count("page", "service")}</b>
        </li>
        <li>
          page → Box <b>{count("page", "Box")}</b>
        </li>
        <li>
          service → Box <b data-testid="service-to-box">{count("service", "Box")}</b>
        </li>
      </ul>
      <details>
        <summary>Each of them</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by keyboard too */}
        <section className="scroll" tabIndex={0} aria-label="All calls">
          <table>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col">To</th>
                <th scope="col">Call</th>
                <th scope="col">Answer</th>
              </tr>
            </thead>
            <tbody>
              {lines.map((line) => (
                <tr key={`${line.from} ${line.at} ${line.method} ${line.url}`}>
                  <td>{line.from}</td>
                  <td>{line.to}</td>
                  <td>
                    <code>{`${line.method} ${new URL(line.url).pathname}`}</code>
                  </td>
                  <td>{line.status || "none"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
    </section>
  );
}

function ofThePage(call: Call, { api, box }: Addresses): Line {
  const { origin } = new URL(call.url);
  const to = origin === api ? "service" : origin === box ? "Box" : "login";
  return { ...call, from: "page", to };
}

interface Journal {
  readonly calls: readonly {
    readonly at: string;
    readonly method: string;
    readonly path: string;
    readonly status: number | null;
  }[];
  readonly next: number;
}

// Before the login comes back: from here on it counts.
const loadedAt = Date.now();

function useCallsOfTheService(): readonly Line[] {
  const [lines, setLines] = useState<readonly Line[]>([]);
  useEffect(() => {
    let since = 0;
    const look = async () => {
      if (document.visibilityState !== "visible") return;
      const answer = await fetch(`/inspector/calls?since=${since}`);
      if (!answer.ok) return;
      const { calls, next }: Journal = await answer.json();
      since = next;
      const found = calls
        .map(
          ({ at, method, path, status }): Line => ({
            at: Date.parse(at),
            method,
            url: `${location.origin}${path}`,
            status,
            from: "service",
            to: "Box",
          }),
        )
        .filter((line) => line.at >= loadedAt);
      if (found.length) setLines((before) => [...before, ...found]);
    };
    const quietly = () => void look().catch(() => undefined);
    quietly();
    const timer = setInterval(quietly, LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return lines;
}
