// Box's own Node SDK against the emulator, with nothing changed but its addresses.
// Reads {address, config, clientCredentials} from standard input, does the same walk
// with both kinds of login, and prints what it saw as one JSON object.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { buffer, json } from "node:stream/consumers";
import {
  BoxCcgAuth,
  BoxClient,
  BoxJwtAuth,
  CcgConfig,
  JwtConfig,
} from "box-node-sdk";
import { BoxApiError } from "box-node-sdk/box";

const { address, config, clientCredentials } = await json(process.stdin);

const urls = {
  baseUrl: address,
  uploadUrl: `${address}/api`,
  oauth2Url: `${address}/oauth2`,
};

function clientFor(auth) {
  return new BoxClient({ auth }).withCustomBaseUrls(urls);
}

function jwt() {
  const auth = new BoxJwtAuth({
    config: JwtConfig.fromConfigJsonString(JSON.stringify(config)),
  });
  return [clientFor(auth), (id) => clientFor(auth.withUserSubject(id))];
}

function ccg() {
  const app = {
    clientId: clientCredentials.client_id,
    clientSecret: clientCredentials.client_secret,
  };
  const make = (subject) =>
    clientFor(new BoxCcgAuth({ config: new CcgConfig({ ...app, ...subject }) }));
  const service = make({ enterpriseId: clientCredentials.enterprise_id });
  return [service, (userId) => make({ userId })];
}

async function status(promise) {
  try {
    await promise;
    return "no error";
  } catch (error) {
    assert(error instanceof BoxApiError, error);
    return error.responseInfo.statusCode;
  }
}

// From an app user's creation to a narrow token, and back to nothing.
async function walk([service, asUser], externalId) {
  const seen = {};
  const created = await service.users.createUser({
    name: "Ada",
    isPlatformAccessOnly: true,
    externalAppUserId: externalId,
  });
  const found = await service.users.getUsers({ externalAppUserId: externalId });
  seen.found = found.entries.map((user) => user.id === created.id);

  const user = asUser(created.id);
  const docs = await user.folders.createFolder({
    name: "Docs",
    parent: { id: "0" },
  });
  const inner = await user.folders.createFolder({
    name: "Inner",
    parent: { id: docs.id },
  });
  const again = { name: "Docs", parent: { id: "0" } };
  seen.conflict = await status(user.folders.createFolder(again));

  const content = Buffer.from("welcome ".repeat(1000));
  const uploaded = await user.uploads.uploadFile({
    attributes: { name: "a.txt", parent: { id: inner.id } },
    file: Readable.from([content]),
  });
  const file = uploaded.entries[0];
  const down = await buffer(await user.downloads.downloadFile(file.id));
  const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");
  seen.sha1 = [sha1(content), file.sha1, sha1(down)].every(
    (each, _, all) => each === all[0],
  );

  const session = user.networkSession;
  const narrow = await user.auth.downscopeToken(
    ["base_explorer", "item_preview"],
    `https://api.box.com/2.0/folders/${docs.id}`,
    undefined,
    session,
  );
  seen.restrictedTo = narrow.restrictedTo.map((entry) => [
    entry.scope,
    entry.object.id === docs.id,
  ]);
  const probe = async () => {
    const headers = { authorization: `Bearer ${narrow.accessToken}` };
    return (await fetch(`${address}/2.0/files/${file.id}`, { headers })).status;
  };
  seen.narrow = await probe();

  const group = await service.groups.createGroup({ name: externalId });
  await service.memberships.createGroupMembership({
    user: { id: created.id },
    group: { id: group.id },
  });
  const shared = await service.folders.createFolder({
    name: externalId,
    parent: { id: "0" },
  });
  await service.userCollaborations.createCollaboration({
    item: { type: "folder", id: shared.id },
    accessibleBy: { type: "group", id: group.id },
    role: "viewer",
  });
  const root = await user.folders.getFolderItems("0");
  seen.root = root.entries.map((entry) => entry.name);

  const token = (await user.auth.retrieveToken(session)).accessToken;
  await user.auth.revokeToken(session);
  const headers = { authorization: `Bearer ${token}` };
  seen.revoked = (await fetch(`${address}/2.0/users/me`, { headers })).status;

  await user.folders.deleteFolderById(docs.id, {
    queryParams: { recursive: true },
  });
  await service.folders.deleteFolderById(shared.id);
  await service.groups.deleteGroupById(group.id);
  await service.users.deleteUserById(created.id, {
    queryParams: { force: true },
  });
  seen.gone = await status(service.users.getUserById(created.id));
  return seen;
}

console.log(
  JSON.stringify({
    jwt: await walk(jwt(), "auth0|jwt"),
    ccg: await walk(ccg(), "auth0|ccg"),
  }),
);
