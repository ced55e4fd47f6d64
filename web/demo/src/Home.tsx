/** The page of somebody who is signed in. */

import type { Me, SsoBoxError } from "@sso-box/client";
import { useMe, useSsoBox } from "@sso-box/react";
import { useState } from "react";
import { useAuth } from "react-oidc-context";
import type { Addresses } from "./boot.js";
import { Explorer } from "./Explorer.js";
import type { Item } from "./elements.js";
import { Inspector } from "./Inspector.js";
import { Preview } from "./Preview.js";
import { who } from "./who.js";

// Often, so that the demo shows it; 15 seconds would do for most.
const LOOK_AGAIN_MS = 1500;

const NO_ACCESS: Readonly<Record<string, string>> = {
  locked: "An administrator has locked your account.",
  removed: "Your account was removed. An administrator can help.",
};

export function Home({ addresses }: { readonly addresses: Addresses }) {
  const { data: me, error } = useMe({ every: LOOK_AGAIN_MS });
  const [file, setFile] = useState<Item>();
  const refusal = NO_ACCESS[me?.box?.state ?? ""];
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
          <div className={file ? "files with-preview" : "files"}>
            <Explorer addresses={addresses} onFile={setFile} />
            {file && (
              <Preview
                key={file.id}
                file={file}
                addresses={addresses}
                onClose={() => setFile(undefined)}
              />
            )}
          </div>
        )}
        <div className="cards">
          <Identity me={me} />
          <Inspector addresses={addresses} />
        </div>
      </main>
    </>
  );
}

function Header() {
  const { user, removeUser, signoutRedirect } = useAuth();
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
  async function asAnother(): Promise<void> {
    await signIn({ prompt: "login" });
    await removeUser();
  }
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
