// Keyv: one and many, with deadlines, in namespaces, over both versions of the protocol.
'use strict';
const { Keyv } = require('keyv');
const KeyvRedis = require('@keyv/redis').default;
const { assert, connect, cuttable, proves, sock, until, within } = require('./store');

// A cache in this namespace.
const open = (t, namespace, options = {}) => {
  const socket = { path: sock, reconnectStrategy: 5, ...options.socket };
  const adapter = new KeyvRedis({ ...options, socket });
  t.after(() => adapter.disconnect(true));
  const cache = new Keyv(adapter, { namespace, useKeyPrefix: false, throwOnErrors: true });
  return cache.on('error', () => {});
};

for (const RESP of [2, 3]) {
  const of = (what) => `RESP${RESP}: ${what}`;

  proves(of('one value, with and without a deadline'), async (t) => {
    const look = await connect(t, 'redis');
    const cache = open(t, 'cache', { RESP });
    assert.equal(await cache.set('k', { some: ['thing'] }, 60_000), true);
    assert.deepEqual(await cache.get('k'), { some: ['thing'] });
    within(await look.pTTL('cache::k'), 40_000, 60_000);
    await cache.set('ever', 1);
    assert.equal(await look.ttl('cache::ever'), -1);
    assert.equal(await cache.has('k'), true);
    assert.equal(await cache.has('none'), false);
    assert.equal(await cache.get('none'), undefined);
    assert.equal(await cache.delete('k'), true);
    assert.equal(await cache.delete('k'), false);
    await cache.set('short', 1, 30);
    await until('it expires', async () => (await look.exists('cache::short')) === 0);
    assert.equal(await cache.get('short'), undefined);
  });

  proves(of('many at once'), async (t) => {
    const look = await connect(t, 'redis');
    const cache = open(t, 'cache', { RESP });
    const entries = Array.from({ length: 50 }, (_, n) => ({ key: `k${n}`, value: n, ttl: 60_000 }));
    await cache.setMany(entries);
    within(await look.ttl('cache::k49'), 40, 60);
    assert.deepEqual(await cache.getMany(['k0', 'none', 'k49']), [0, undefined, 49]);
    assert.deepEqual(await cache.hasMany(['k0', 'none']), [true, false]);
    assert.equal(await cache.deleteMany(['k0', 'k1']), true);
    assert.equal(await look.dbSize(), 48);
  });

  proves(of('namespaces are listed and cleared apart'), async (t) => {
    const look = await connect(t, 'redis');
    const [one, other] = [open(t, 'one', { RESP }), open(t, 'other', { RESP })];
    for (let n = 0; n < 30; n++) await one.set(`k${n}`, n);
    await other.set('kept', 'value');
    const found = [];
    for await (const [key, value] of one.iterator()) found.push([key, value]);
    const wanted = Array.from({ length: 30 }, (_, n) => [`k${n}`, n]);
    assert.deepEqual(found.sort((a, b) => a[1] - b[1]), wanted);
    await one.clear();
    assert.deepEqual(await look.keys('*'), ['other::kept']);
  });
}

proves('comes back when its connection is cut', async (t) => {
  const { path, cut } = await cuttable(t);
  await connect(t, 'redis');
  const cache = open(t, 'cache', { socket: { path } });
  await cache.set('k', 'v');
  cut();
  await until('it is read again', () => cache.get('k').catch(() => {}));
  assert.equal(await cache.get('k'), 'v');
});
