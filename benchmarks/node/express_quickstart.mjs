// Box's documented way to app users for people of an SSO, in Express with Box's own SDK:
//
//   node express_quickstart.mjs PORT
//
// The same as servers/flask_quickstart.py. ID tokens are verified with jose and its
// caching key set.
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { BoxClient } from 'box-node-sdk';
import { BoxJwtAuth, JwtConfig } from 'box-node-sdk/box';
import { BaseUrls, NetworkSession } from 'box-node-sdk/networking';

const SCOPES = [
  'base_explorer',
  'item_preview',
  'item_download',
  'item_upload',
  'item_rename',
  'item_delete',
];
const { BOX_URL, BOX_CONFIG_FILE, OIDC_ISSUER, OIDC_CLIENT_ID } = process.env;

const networkSession = new NetworkSession({
  baseUrls: new BaseUrls({
    baseUrl: BOX_URL,
    uploadUrl: `${BOX_URL}/api`,
    oauth2Url: `${BOX_URL}/oauth2`,
  }),
});
const auth = new BoxJwtAuth({ config: JwtConfig.fromConfigFile(BOX_CONFIG_FILE) });
const client = new BoxClient({ auth, networkSession });
const keys = createRemoteJWKSet(new URL(`${OIDC_ISSUER}/jwks`));

async function verified(request) {
  const unverified = (request.get('authorization') ?? '').replace(/^Bearer /, '');
  const options = {
    issuer: OIDC_ISSUER,
    audience: OIDC_CLIENT_ID,
    algorithms: ['RS256'],
  };
  return (await jwtVerify(unverified, keys, options)).payload;
}

async function userId(subject, name) {
  const found = await client.users.getUsers({ externalAppUserId: subject });
  if (found.entries.length > 0) return found.entries[0].id;
  const created = await client.users.createUser({
    name,
    isPlatformAccessOnly: true,
    externalAppUserId: subject,
    spaceAmount: 1073741824,
  });
  return created.id;
}

const app = express();

app.post('/v1/token', async (request, response) => {
  let claims;
  try {
    claims = await verified(request);
  } catch {
    response.status(401).json({ error: 'invalid_token' });
    return;
  }
  const asUser = auth.withUserSubject(await userId(claims.sub, claims.name));
  await asUser.refreshToken(networkSession);
  const narrow = await asUser.downscopeToken(
    SCOPES,
    undefined,
    undefined,
    networkSession,
  );
  response.json({
    access_token: narrow.accessToken,
    token_type: 'bearer',
    expires_in: narrow.expiresIn,
  });
});

app.get('/livez', (request, response) => {
  response.json({});
});

app.listen(Number(process.argv[2]), '127.0.0.1');
