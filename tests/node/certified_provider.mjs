// A certified OpenID provider on a loopback port: the second opinion on our verification.
//
// Prints one JSON line when it is ready and one for each command, a word a line on
// standard input; ends when that is closed. The keys:
//   announce  publish new keys; the old ones go on signing
//   sign      sign with the newest keys; the old ones stay published
//   withdraw  publish only the keys that sign
//   rotate    announce and sign in one step, so that nobody can have seen the new keys
//   state     change nothing

import { generateKeyPair, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import Provider from 'oidc-provider';

console.info = console.warn; // standard output is for our lines alone

const HOUR = 3600;

const clients = ['RS256', 'ES256', 'PS256', 'EdDSA'].map((alg) => ({
  client_id: `spa-${alg}`,
  token_endpoint_auth_method: 'none',
  id_token_signed_response_alg: alg,
  redirect_uris: ['https://spa.example/callback'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
}));

// Of each kind a key to drop, one to keep and one to sign with: making RSA keys is slow,
// so the fourth is the first again, under another kid.
const generate = promisify(generateKeyPair);
const made = await Promise.all([1, 2, 3].map(() => Promise.all([
  generate('ec', { namedCurve: 'P-256' }),
  generate('rsa', { modulusLength: 2048 }), // for RS256 and PS256, as with many providers
  generate('ed25519'),
])));
const KINDS = made[0].length;

// What people did at one Provider (sessions, grants, codes), for the next one to find.
const stored = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload) {
    stored.set(`${this.model} ${id}`, payload);
    if (payload.uid) stored.set(`${this.model} with uid ${payload.uid}`, payload);
  }

  async find(id) {
    return stored.get(`${this.model} ${id}`);
  }

  async findByUid(uid) {
    return stored.get(`${this.model} with uid ${uid}`);
  }

  async consume(id) {
    stored.get(`${this.model} ${id}`).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(`${this.model} ${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) if (payload.grantId === grantId) stored.delete(key);
  }
}

let keys = newKeys(); // the first one of a kind signs
let keyFetches = 0;
let respond;

const commands = {
  announce: () => publish([...keys, ...newKeys()]),
  sign: () => publish(newestFirst()),
  withdraw: () => publish(signing()),
  rotate: () => publish([...newKeys(), ...keys]),
  state: () => {},
};

const server = createServer((request, response) => {
  if (request.url === '/jwks') keyFetches += 1;
  respond(request, response);
});
server.listen(0, '127.0.0.1', async () => {
  publish(keys);
  report();
  for await (const command of createInterface({ input: process.stdin })) {
    commands[command]();
    report();
  }
  process.exit();
});

function newKeys() {
  made.push(made.shift());
  return made.at(-1).map(({ privateKey }) => (
    { ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: randomUUID() }
  ));
}

function signing() {
  return keys.slice(0, KINDS);
}

function newestFirst() {
  return [...keys.slice(-KINDS), ...keys.slice(0, -KINDS)];
}

// A Provider never changes its keys, so another one takes its place, on the same store.
function publish(all) {
  keys = all;
  const issuer = `http://127.0.0.1:${server.address().port}`;
  respond = new Provider(issuer, {
    adapter: Store,
    clients,
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false, // name and email in the ID token itself
    pkce: { required: () => true },
    ttl: { IdToken: 4 * HOUR, Session: 4 * HOUR, Grant: 4 * HOUR, Interaction: HOUR },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: 'Ada Lovelace',
        email: 'ada@example.com',
        email_verified: true,
      }),
    }),
  }).callback();
}

function report() {
  const { port } = server.address();
  const kids = signing().map(({ kid }) => kid);
  console.log(JSON.stringify({ issuer: `http://127.0.0.1:${port}`, kids, keyFetches }));
}
