/** Box's own Content Uploader, with a token that can do nothing but upload. */

import { useElementsToken, useSsoBox } from "@sso-box/react";
import { useEffect, useRef, useState } from "react";
import type { Addresses } from "./boot.js";
import { type Item, loadElement, nameForReaders } from "./elements.js";
import { Panel } from "./Panel.js";

interface UploaderProps {
  readonly folder: Item;
  readonly addresses: Addresses;
  /** All of them are at Box. Stable, or the Uploader starts anew. */
  readonly onComplete: () => void;
  /** Stable, too. */
  readonly onClose: () => void;
}

export function Uploader({ folder, addresses, onComplete, onClose }: UploaderProps) {
  const { box } = useSsoBox();
  // Of this folder alone; one for the root folder is bound to nothing.
  const token = useElementsToken({ profile: "uploader", perItem: true });
  const place = useRef<HTMLDivElement>(null);
  const [hasFailed, setFailed] = useState(false);
  useEffect(() => {
    let stop = () => {};
    let isCurrent = true;
    loadElement("ContentUploader").then(
      (ContentUploader) => {
        if (!isCurrent || !place.current) return;
        const uploader = new ContentUploader();
        const unnamed = nameForReaders(place.current);
        uploader.addListener("complete", onComplete);
        uploader.addListener("close", onClose);
        uploader.show(folder.id, token, {
          container: place.current,
          apiHost: addresses.box,
          uploadHost: addresses.box,
          requestInterceptor: box.elementsInterceptor,
        });
        stop = () => {
          unnamed();
          uploader.hide();
        };
      },
      () => isCurrent && setFailed(true),
    );
    return () => {
      isCurrent = false;
      // Not within React's own work: the Uploader has a React of its own.
      setTimeout(() => stop());
    };
  }, [addresses.box, box, token, folder.id, onComplete, onClose]);
  const title = `Send files to ${folder.name}`;
  return (
    <Panel label={title} title={title} close="Close the uploader" onClose={onClose}>
      {hasFailed && <p role="alert">The uploader cannot be loaded right now.</p>}
      <div ref={place} className="place" hidden={hasFailed} />
    </Panel>
  );
}
