/** The page of somebody who is signed in. */

import type { Me, SsoBoxError } from "@sso-box/client";
import { useMe, useSsoBox } from "@sso-box/react";
import { useCallback, useState } from "react";
import { useAuth } from "react-oidc-context";
import type { Addresses } from "./boot.js";
import { Explorer } from "./Explorer.js";
import type { Item } from "./elements.js";
import { Inspector } from "./Inspector.js";
import { noAccess, setUpOf } from "./me.js";
import { Preview } from "./Preview.js";
import { SetUpCard } from "./SetUpCard.js";
import { Uploader } from "./Uploader.js";
import { who } from "./who.js";

// Often, so that the demo shows it; 15 seconds would do for most.
const LOOK_AGAIN_MS = 1000;

const ROOT: Item = { id: "0", type: "folder", name: "All Files" };

/** What is beside the files: a look at one of them, or a way into a folder. */
type Beside = { readonly file: Item } | { readonly folder: Item };

export function Home({ addresses }: { readonly addresses: Addresses }) {
  const { data: me, error } = useMe({ every: LOOK_AGAIN_MS });
  const setUp = setUpOf(me);
  const refusal = noAccess(me);
  return (
    <>
      <Header />
      <main className="home">
        <h1 className="hidden">Your files</h1>
        {error && <Trouble error={error} />}
        {refusal ? (
          <p className="notice" role="alert">
            {refusal}
          </p>
        ) : (
          <>
            {setUp.notice && (
              <p className="notice" role="status">
                {setUp.notice}
              </p>
            )}
            <Files addresses={addresses} done={setUp.done} />
          </>
        )}
        <div className="cards">
          <Identity me={me} />
          {setUp.steps.length > 0 && <SetUpCard setUp={setUp} />}
          <Inspector addresses={addresses} />
        </div>
      </main>
    </>
  );
}

interface FilesProps {
  readonly addresses: Addresses;
  /** How many steps of the first day's set-up are done. */
  readonly done: number;
}

function Files({ addresses, done }: FilesProps) {
  const [folder, setFolder] = useState(ROOT);
  const [beside, setBeside] = useState<Beside>();
  const [uploads, setUploads] = useState(0);
  const look = useCallback((file: Item) => setBeside({ file }), []);
  const close = useCallback(() => setBeside(undefined), []);
  const onComplete = useCallback(() => setUploads((number) => number + 1), []);
  return (
    <>
      <div className="tools">
        <button type="button" onClick={() => setBeside({ folder })}>
          Send files to {folder.name}
        </button>
      </div>
      <div className={beside ? "files with-panel" : "files"}>
        <Explorer
          addresses={addresses}
          onFile={look}
          onFolder={setFolder}
          stamp={`${done} ${uploads}`}
        />
        {beside && "file" in beside && (
          <Preview
            key={beside.file.id}
            file={beside.file}
            addresses={addresses}
            onClose={close}
          />
        )}
        {beside && "folder" in beside && (
          <Uploader
            key={beside.folder.id}
            folder={beside.folder}
            addresses={addresses}
            onComplete={onComplete}
            onClose={close}
          />
        )}
      </div>
    </>
  );
}

function Header() {
  const { user, signoutRedirect } = useAuth();
  const { signIn, signOutEverywhere } = useSsoBox();
  const [failed, setFailed] = useState<string>();
  function leaving(leave: () => Promise<void>): () => void {
    return () => {
      const hint = who.get();
      who.forget();
      setFailed(undefined);
      leave().catch((error: Partial<SsoBoxError>) => {
        if (hint) who.set(hint);
        setFailed(error.code ?? "the login does not answer");
      });
    };
  }
  const asAnother = () => signIn({ prompt: "login" });
  const name = user?.profile.name ?? user?.profile.sub ?? "";
  return (
    <header>
      <span className="brand">
        <img src="/icon.svg" alt="" width="28" height="28" /> Your files
      </span>
      <span className="person">
        <span className="initial" aria-hidden="true">
          {name.slice(0, 1)}
        </span>
        <span>{name}</span>
      </span>
      <nav aria-label="Account">
        <button type="button" onClick={leaving(asAnother)}>
          As another person
        </button>
        <button type="button" onClick={leaving(() => signoutRedirect())}>
          Sign out
        </button>
        <button
          type="button"
          className="danger"
          onClick={leaving(signOutEverywhere)}
          title="Ends every session on every device, within seconds"
        >
          Sign out everywhere
        </button>
      </nav>
      {failed && (
        <p className="notice" role="alert">
          That did not work: {failed}
        </p>
      )}
    </header>
  );
}

function Trouble({ error }: { readonly error: SsoBoxError }) {
  return (
    <p className="notice" role="alert">
      {error.message} <code>{error.code}</code>
    </p>
  );
}

function Identity({ me }: { readonly me: Me | undefined }) {
  return (
    <section className="card" aria-labelledby="who">
      <h2 id="who">Who you are</h2>
      {me ? (
        <dl>
          <dt>Name</dt>
          <dd>{me.identity.name ?? "not told"}</dd>
          <dt>E-mail</dt>
          <dd>
            {me.identity.email ?? "not told"}
            {me.identity.email && (
              <small>{me.identity.email_trusted ? " trusted" : " as claimed"}</small>
            )}
          </dd>
          <dt>Signed in by</dt>
          <dd>{me.identity.issuer}</dd>
          <dt>Subject</dt>
          <dd>
            <code>{me.identity.subject}</code>
          </dd>
          <dt>Box user</dt>
          <dd>
            {me.box?.id ? (
              <>
                <code>{me.box.id}</code>{" "}
                <small>{`${me.box.kind}, ${me.box.state}`}</small>
              </>
            ) : (
              "being made"
            )}
          </dd>
        </dl>
      ) : (
        <div className="skeleton" aria-hidden="true" />
      )}
    </section>
  );
}
