/** Something beside the files, until it is closed. */

import { type ReactNode, useEffect, useRef, useState } from "react";

interface PanelProps {
  readonly label: string;
  readonly title: string;
  /** What the button for it says to screen readers. */
  readonly close: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

export function Panel({ label, title, close, onClose, children }: PanelProps) {
  const [opener] = useState(() => document.activeElement);
  const place = useRef<HTMLElement>(null);
  // On a small screen it lies below the files.
  useEffect(() => {
    // Newer browsers return a promise, which is nothing to clean up with.
    place.current?.scrollIntoView({ block: "nearest" });
  }, []);
  function leave(): void {
    onClose();
    // Where the keyboard was before; the button that had it is gone.
    if (opener instanceof HTMLElement) opener.focus();
  }
  return (
    <aside ref={place} className="panel" aria-label={label}>
      <div className="bar">
        <h2>{title}</h2>
        <button type="button" onClick={leave} aria-label={close}>
          ✕
        </button>
      </div>
      {children}
    </aside>
  );
}
