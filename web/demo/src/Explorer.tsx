/** The person's files, in Box's own Content Explorer. */

import type { SsoBoxError } from "@sso-box/client";
import { useElementsToken, useSsoBox } from "@sso-box/react";
import { useEffect, useRef, useState } from "react";
import type { Addresses } from "./boot.js";
import {
  type ContentExplorer,
  type Item,
  loadElement,
  nameForReaders,
  onFileRow,
} from "./elements.js";

const PROFILE = "explorer";

interface ExplorerProps {
  readonly addresses: Addresses;
  /** To be shown. Stable, or the Explorer starts anew. */
  readonly onFile: (file: Item) => void;
  /** Where the person is now. Stable, or the Explorer starts anew. */
  readonly onFolder: (folder: Item) => void;
  /** Where it changes, there is more to be seen than was listed. */
  readonly stamp: string;
}

type Phase = "loading" | "ready" | SsoBoxError | Error;

export function Explorer({ addresses, onFile, onFolder, stamp }: ExplorerProps) {
  const { box } = useSsoBox();
  const token = useElementsToken({ profile: PROFILE });
  const boxPreview = addresses.boxPreview ?? false;
  const place = useRef<HTMLDivElement>(null);
  const present = useRef<ContentExplorer>(undefined);
  const [phase, setPhase] = useState<Phase>("loading");
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a round tries again
  useEffect(() => {
    let stop = () => {};
    let isCurrent = true;
    setPhase("loading");
    // The first token makes the Box user: before the Explorer asks for its folder.
    Promise.all([loadElement("ContentExplorer"), box.boxToken(PROFILE)]).then(
      ([ContentExplorer]) => {
        if (!isCurrent || !place.current) return;
        const explorer = new ContentExplorer();
        present.current = explorer;
        const unnamed = nameForReaders(place.current);
        explorer.addListener("navigate", onFolder);
        explorer.show("0", token, {
          container: place.current,
          apiHost: addresses.box,
          uploadHost: addresses.box,
          canPreview: boxPreview,
          itemActions: boxPreview
            ? []
            : [{ label: "Look at it", type: "file", onAction: onFile }],
          logoUrl: "box",
          canShare: false,
          canSetShareAccess: false,
          requestInterceptor: box.elementsInterceptor,
        });
        const deaf = boxPreview ? () => {} : onFileRow(explorer, place.current, onFile);
        stop = () => {
          deaf();
          unnamed();
          explorer.hide();
        };
        setPhase("ready");
      },
      (error) => isCurrent && setPhase(error),
    );
    return () => {
      isCurrent = false;
      present.current = undefined;
      // Not within React's own work: the Explorer has a React of its own.
      setTimeout(() => stop());
    };
  }, [addresses.box, boxPreview, box, token, onFile, onFolder, round]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a stamp looks again
  useEffect(() => {
    try {
      present.current?.getComponent().refreshCollection();
    } catch {
      // It shows something else than a folder, or nothing yet.
    }
  }, [stamp]);
  const isError = phase instanceof Error;
  return (
    <section className="explorer" aria-label="Files" aria-busy={phase === "loading"}>
      {phase === "loading" && (
        <div className="over">
          <div className="spinner" aria-hidden="true" />
          <p role="status">Preparing your files…</p>
        </div>
      )}
      {isError && (
        <div className="over" role="alert">
          <p>
            {phase.message} {"code" in phase && <code>{phase.code}</code>}
          </p>
          <button type="button" onClick={() => setRound((number) => number + 1)}>
            Try again
          </button>
        </div>
      )}
      <div ref={place} className="place" hidden={isError} />
    </section>
  );
}
