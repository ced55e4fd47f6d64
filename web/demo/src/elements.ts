/** Box's Content Explorer, loaded from beside the page once somebody is signed in. */

export interface Item {
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

interface ContentExplorer {
  show(folderId: string, token: unknown, options: Record<string, unknown>): void;
  hide(): void;
  getComponent(): { state: { currentCollection: { items?: readonly Item[] } } };
}

declare global {
  interface Window {
    Box?: { ContentExplorer: new () => ContentExplorer };
  }
}

let loaded: Promise<new () => ContentExplorer> | undefined;

export async function loadExplorer(): Promise<new () => ContentExplorer> {
  loaded ??= load().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function load(): Promise<new () => ContentExplorer> {
  await Promise.all([
    added("link", { rel: "stylesheet", href: "/elements/explorer.css" }),
    added("script", { src: "/elements/explorer.js" }),
  ]);
  if (!window.Box) throw new Error("Box UI Elements did not start.");
  return window.Box.ContentExplorer;
}

/**
 * Tell which file's row was clicked or entered.
 *
 * The Explorer's own answer to that is Box's preview, from Box's CDN; without it a file's
 * row does nothing. Returns what ends it.
 */
export function onFileRow(
  explorer: ContentExplorer,
  place: HTMLElement,
  tell: (file: Item) => void,
): () => void {
  function look(event: MouseEvent | KeyboardEvent): void {
    if ("key" in event && event.key !== "Enter") return;
    const target = event.target as Element;
    const row = target.closest<HTMLElement>("[role=row][data-key]");
    if (!row || target.closest("button")) return;
    const { items } = explorer.getComponent().state.currentCollection;
    const item = items?.find(({ id }) => id === row.dataset.key);
    if (item?.type === "file") tell(item);
  }
  place.addEventListener("click", look, true);
  place.addEventListener("keydown", look, true);
  return () => {
    place.removeEventListener("click", look, true);
    place.removeEventListener("keydown", look, true);
  };
}

const NAMELESS: Readonly<Record<string, string>> = {
  "[role=progressbar]:not([aria-label])": "Progress",
  ".be-logo svg[role=img]:not([aria-label])": "Box",
};

/** Name what the Explorer leaves nameless for screen readers. Returns what ends it. */
export function nameForReaders(place: HTMLElement): () => void {
  const observer = new MutationObserver(() => {
    for (const [selector, name] of Object.entries(NAMELESS)) {
      for (const element of place.querySelectorAll(selector)) {
        element.setAttribute("aria-label", name);
      }
    }
  });
  observer.observe(place, { childList: true, subtree: true });
  return () => observer.disconnect();
}

async function added<Tag extends "link" | "script">(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]>,
): Promise<void> {
  await new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.onload = resolve;
    element.onerror = () => reject(new Error("Box UI Elements cannot be loaded."));
    document.head.append(element);
  });
}
