// First logins by Box's official Node SDK, as it comes: node first_login.mjs URL CONFIG
//
// For each line "COUNT CONCURRENCY PREFIX" on standard input, does that many logins
// (find, create, user token, downscope) and prints how many seconds they took, and how
// many of them on the CPU.
import { createInterface } from 'node:readline';
import { BoxClient } from 'box-node-sdk';
import { BoxJwtAuth, JwtConfig } from 'box-node-sdk/box';
import { BaseUrls, NetworkSession } from 'box-node-sdk/networking';

const [baseUrl, configFile] = process.argv.slice(2);
const networkSession = new NetworkSession({
  baseUrls: new BaseUrls({ baseUrl, uploadUrl: `${baseUrl}/api`, oauth2Url: baseUrl }),
});
const auth = new BoxJwtAuth({ config: JwtConfig.fromConfigFile(configFile) });
const client = new BoxClient({ auth, networkSession });

async function logIn(externalAppUserId) {
  const found = await client.users.getUsers({
    externalAppUserId,
    fields: ['id', 'external_app_user_id'],
  });
  if (found.entries.length > 0) throw new Error('that was no first login');
  const user = await client.users.createUser({
    name: 'Benchmark',
    isPlatformAccessOnly: true,
    externalAppUserId,
    spaceAmount: 1073741824,
  });
  const asUser = auth.withUserSubject(user.id);
  await asUser.refreshToken(networkSession);
  const token = await asUser.downscopeToken(
    ['base_explorer'],
    undefined,
    undefined,
    networkSession,
  );
  if (!token.accessToken) throw new Error('no token');
}

async function round(count, concurrency, prefix) {
  let next = 0;
  const worker = async () => {
    while (next < count) await logIn(`${prefix}-${next++}`);
  };
  const [started, before] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system } = process.cpuUsage(before);
  return `${(performance.now() - started) / 1000} ${(user + system) / 1e6}`;
}

await auth.retrieveToken(networkSession);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [count, concurrency, prefix] = line.split(' ');
  console.log(await round(Number(count), Number(concurrency), prefix));
}
