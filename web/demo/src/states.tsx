/** What is shown instead of the files. */

import type { ReactNode } from "react";

export function Loading({ what }: { readonly what: string }) {
  return (
    <main className="state" aria-busy="true">
      <div className="spinner" aria-hidden="true" />
      <p role="status">{what}…</p>
    </main>
  );
}

interface WelcomeProps {
  readonly notice?: string | undefined;
  readonly onSignIn: () => void;
}

export function Welcome({ notice, onSignIn }: WelcomeProps) {
  return (
    <main className="state">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>Your files</h1>
      {notice ? (
        <p className="notice" role="alert">
          {notice}
        </p>
      ) : (
        <p>Sign in with your company's account to see them.</p>
      )}
      <button type="button" className="primary" onClick={onSignIn}>
        Sign in
      </button>
    </main>
  );
}

interface FailureProps {
  readonly title: string;
  readonly children: ReactNode;
  readonly onRetry: () => void;
}

export function Failure({ title, children, onRetry }: FailureProps) {
  return (
    <main className="state" role="alert">
      <h1>{title}</h1>
      <p>{children}</p>
      <button type="button" className="primary" onClick={onRetry}>
        Try again
      </button>
    </main>
  );
}
