/** Box's Content Explorer, loaded from beside the page once somebody is signed in. */

interface ContentExplorer {
  show(folderId: string, token: unknown, options: Record<string, unknown>): void;
  hide(): void;
  addListener(event: string, listener: (data: never) => void): void;
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
