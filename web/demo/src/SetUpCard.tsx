/** What the template has for the person's first day, and how far it is. */

import type { SetUp } from "./me.js";

export function SetUpCard({ setUp }: { readonly setUp: SetUp }) {
  return (
    <section className="card" aria-labelledby="set-up">
      <h2 id="set-up">First-day set-up</h2>
      <p>{setUp.summary}</p>
      <ul className="steps">
        {setUp.steps.map(({ key, what, state }) => (
          <li key={key}>
            <span>{what}</span> <small>{state}</small>
          </li>
        ))}
      </ul>
    </section>
  );
}
