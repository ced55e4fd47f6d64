/** Box UI Elements, loaded from beside the page once somebody is signed in. */

export interface Item {
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

interface BoxElement {
  show(folderId: string, token: unknown, options: Record<string, unknown>): void;
  hide(): void;
  addListener(event: string, listener: (data: never) => void): void;
}

export interface ContentExplorer extends BoxElement {
  getComponent(): {
    readonly state: { readonly currentCollection: { items?: readonly Item[] } };
    /** Throws where no folder is shown. */
    refreshCollection(): void;
  };
}

interface Elements {
  readonly ContentExplorer: new () => ContentExplorer;
  readonly ContentUploader: new () => BoxElement;
}

declare global {
  interface Window {
    Box?: Partial<Elements>;
  }
}

const SCRIPTS: Readonly<Record<keyof Elements, string>> = {
  ContentExplorer: "/elements/explorer.js",
  ContentUploader: "/elements/uploader.js",
};

const loaded = new Map<string, Promise<unknown>>();

export async function loadElement<Name extends keyof Elements>(
  name: Name,
): Promise<Elements[Name]> {
  await Promise.all([
    // The Explorer's, which has the Uploader's in it.
    once("link", "/elements/explorer.css", { rel: "stylesheet" }),
    once("script", SCRIPTS[name]),
  ]);
  const element = window.Box?.[name];
  if (!element) throw new Error("Box UI Elements did not start.");
  return element;
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

/** Add it to the page; what could not be loaded is tried again the next time. */
async function once(
  tag: "link" | "script",
  address: string,
  properties: { readonly rel?: string } = {},
): Promise<void> {
  const adding = loaded.get(address) ?? added(tag, address, properties);
  loaded.set(address, adding);
  await adding.catch((error) => {
    loaded.delete(address);
    throw error;
  });
}

async function added(tag: "link" | "script", address: string, properties: object) {
  await new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.setAttribute(tag === "link" ? "href" : "src", address);
    element.onload = resolve;
    element.onerror = () => reject(new Error("Box UI Elements cannot be loaded."));
    document.head.append(element);
  });
}
