// A store with a secret (SECRET), which clients prove to know as a password.
'use strict';
const { assert, awaited, proves, sock } = require('./store');
const { SECRET } = process.env;

for (const { name, RESP } of [
  { name: 'redis4' },
  { name: 'redis5', RESP: 2 },
  { name: 'redis5', RESP: 3 },
  { name: 'redis', RESP: 2 },
  { name: 'redis', RESP: 3 },
]) {
  const open = (t, password) => {
    const socket = { path: sock, reconnectStrategy: false };
    const client = require(name).createClient({ RESP, socket, password, database: 1 });
    client.on('error', () => {});
    t.after(() => client.isOpen && client.disconnect());
    return client;
  };
  const asks = async (client) => {
    await client.connect();
    await client.get('k');
  };

  proves(`${name}, RESP${RESP ?? 2}: only who knows the secret gets in`, async (t) => {
    const friend = await open(t, SECRET).connect();
    assert.equal(await friend.set('k', 'v'), 'OK');
    await assert.rejects(asks(open(t, 'wrong')), { message: /^WRONGPASS/ });
    await assert.rejects(asks(open(t)), { message: /^NOAUTH/ });
  });
}

for (const { name, protocol } of [
  { name: 'ioredis5' },
  { name: 'ioredis', protocol: 2 },
  { name: 'ioredis', protocol: 3 },
]) {
  const open = (t, password) => {
    const client = new (require(name).Redis)({ path: sock, protocol, password, db: 1 });
    t.after(() => client.disconnect());
    return client;
  };

  proves(`${name}, RESP${protocol ?? 2}: only who knows the secret gets in`, async (t) => {
    assert.equal(await open(t, SECRET).set('k', 'v'), 'OK');
    for (const password of ['wrong', undefined]) {
      const [told, error] = awaited();
      open(t, password).on('error', told);
      // It tells of whichever command failed first.
      assert.match((await error)[0].message, /^(NOAUTH|WRONGPASS)/);
    }
  });
}
