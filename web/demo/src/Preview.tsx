/** A look at one file, with a token for nothing but that file. */

import { useSsoBox } from "@sso-box/react";
import { useEffect, useState } from "react";
import type { Addresses } from "./boot.js";
import type { Item } from "./elements.js";
import { Panel } from "./Panel.js";

// No object: a file's name may end in .constructor.
const IMAGES = new Map([
  ["png", "image/png"],
  ["jpg", "image/jpeg"],
  ["jpeg", "image/jpeg"],
  ["gif", "image/gif"],
  ["webp", "image/webp"],
  ["svg", "image/svg+xml"],
]);
const TEXTS = new Set(["txt", "md", "csv", "json", "log", "xml", "yaml", "yml"]);
const LONGEST_TEXT = 100_000;

type Shown =
  | { readonly kind: "loading" | "unknown" | "failed" }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image" | "pdf"; readonly url: string };

interface PreviewProps {
  readonly file: Item;
  readonly addresses: Addresses;
  readonly onClose: () => void;
}

export function Preview({ file, addresses, onClose }: PreviewProps) {
  const shown = useContent(file, addresses);
  return (
    <Panel
      label={`Preview of ${file.name}`}
      title={file.name}
      close="Close the preview"
      onClose={onClose}
    >
      <Content name={file.name} shown={shown} />
    </Panel>
  );
}

function Content({ name, shown }: { readonly name: string; readonly shown: Shown }) {
  switch (shown.kind) {
    case "loading":
      return <p role="status">Loading…</p>;
    case "unknown":
      return <p>There is no preview for this kind of file.</p>;
    case "failed":
      return <p role="alert">The file cannot be shown right now.</p>;
    case "text":
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by keyboard too
      return <pre tabIndex={0}>{shown.text}</pre>;
    case "image":
      return <img src={shown.url} alt={name} />;
    case "pdf":
      return <iframe src={shown.url} title={name} />;
  }
}

function useContent(file: Item, addresses: Addresses): Shown {
  const { box } = useSsoBox();
  const [shown, setShown] = useState<Shown>({ kind: "loading" });
  useEffect(() => {
    let isCurrent = true;
    let url: string | undefined;
    const extension = file.name.split(".").pop()?.toLowerCase() ?? "";
    const type = extension === "pdf" ? "application/pdf" : IMAGES.get(extension);
    const isText = TEXTS.has(extension);
    async function look(): Promise<Shown> {
      if (!type && !isText) return { kind: "unknown" };
      const content = `${addresses.box}/2.0/files/${file.id}/content?preview=true`;
      const ask = { profile: "preview", resource: `file:${file.id}` };
      const answer = await box.boxFetch(content, {}, ask);
      if (!answer.ok) return { kind: "failed" };
      if (isText) {
        return { kind: "text", text: (await answer.text()).slice(0, LONGEST_TEXT) };
      }
      const bytes = await answer.arrayBuffer();
      // Closed meanwhile: nobody would take the URL back.
      if (!isCurrent) return { kind: "loading" };
      // Of our type, not the file's: what calls itself a picture is shown as one.
      url = URL.createObjectURL(new Blob([bytes], { type: type ?? "" }));
      return { kind: extension === "pdf" ? "pdf" : "image", url };
    }
    look()
      .catch((): Shown => ({ kind: "failed" }))
      .then((found) => isCurrent && setShown(found));
    return () => {
      isCurrent = false;
      if (url) URL.revokeObjectURL(url);
    };
  }, [box, file, addresses]);
  return shown;
}
