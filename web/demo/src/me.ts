/** What the service says of the person, in words for the person. */

import type { LoginRequired, Me } from "@sso-box/client";

type Step = NonNullable<Me["box"]>["provisioning"][number];

const WORDS: Readonly<Record<string, string>> = {
  signed_out: "You were signed out everywhere, here too.",
  token_expired: "Your login has ended.",
  not_signed_in: "Your login has ended.",
};

/** Why a login is needed. */
export function loginEnded({ code }: LoginRequired): string {
  return WORDS[code] ?? "Please sign in again.";
}

const NO_ACCESS: Readonly<Record<string, string>> = {
  locked: "An administrator has locked your account.",
  removed: "Your account was removed. An administrator can help.",
};

/** Why there are no files for this person, if so. */
export function noAccess(me: Me | undefined): string | undefined {
  return NO_ACCESS[me?.box?.state ?? ""];
}

const KINDS: Readonly<Record<Step["kind"], string>> = {
  folder: "Folder",
  file: "File",
  collaboration: "Shared folder",
  membership: "Group",
  quota: "Space",
  name: "Name",
};
const STATES: Readonly<Record<Step["state"], string>> = {
  pending: "under way",
  done: "done",
  failed: "failed, tried again by itself",
  skipped: "skipped",
};

export interface SetUp {
  readonly steps: readonly {
    readonly key: string;
    readonly what: string;
    readonly state: string;
  }[];
  /** Where it grows, there is more to be seen at Box. */
  readonly done: number;
  readonly summary: string;
  /** What the person should know, if anything. */
  readonly notice: string | undefined;
}

/** How far the person's first day has come. */
export function setUpOf(me: Me | undefined): SetUp {
  const steps = me?.box?.provisioning ?? [];
  const count = (state: Step["state"]) =>
    steps.filter((step) => step.state === state).length;
  const done = count("done");
  return {
    steps: steps.map(({ key, kind, path, state }) => ({
      key,
      what: `${KINDS[kind]} ${path ?? key.split(":").slice(1).join(":")}`.trim(),
      state: STATES[state],
    })),
    done,
    summary: `${done} of ${steps.length} steps done`,
    notice: noticeOf(count("pending"), count("failed")),
  };
}

function noticeOf(pending: number, failed: number): string | undefined {
  // What lies in a folder that failed is pending for as long.
  if (failed)
    return "Your set-up is not complete. What failed is tried again by itself.";
  if (pending) return "Your folders are being set up. They appear here by themselves.";
  return undefined;
}
