// Locks: one holder at a time, who can extend and release. Redlock locks several resources at once.
'use strict';
const { randomUUID } = require('crypto');
const { assert, connect, proves, until, within } = require('./store');

const redlocks = {
  redlock: {
    Redlock: require('redlock'),
    acquire: (redlock, resources, ttl) => redlock.lock(resources, ttl),
    release: (lock) => lock.unlock(),
    isRefused: (error) => error.name === 'LockError',
  },
  redlock5: {
    Redlock: require('redlock5').default,
    acquire: (redlock, resources, ttl) => redlock.acquire(resources, ttl),
    release: (lock) => lock.release(),
    isRefused: (error) => error.name === 'ExecutionError',
  },
};

for (const [name, { Redlock, acquire, release, isRefused }] of Object.entries(redlocks)) {
  for (const under of ['ioredis5', 'ioredis']) {
    const of = (what) => `${name} over ${under}: ${what}`;
    const open = (clients, options) => new Redlock(clients, { retryCount: 0, ...options });

    proves(of('a lock has one holder until it is released'), async (t) => {
      const client = await connect(t, under);
      const redlock = open([client]);
      const lock = await acquire(redlock, ['a'], 60_000);
      assert.equal(await client.get('a'), lock.value);
      within(await client.pttl('a'), 40_000, 60_000);
      await assert.rejects(acquire(redlock, ['a'], 1_000), isRefused);
      const longer = await lock.extend(90_000);
      within(await client.pttl('a'), 70_000, 90_000);
      await release(longer);
      assert.equal(await client.exists('a'), 0);
      await assert.rejects(release(longer), isRefused);
    });

    proves(of('several resources are held together or not at all'), async (t) => {
      const client = await connect(t, under);
      const redlock = open([client]);
      const both = await acquire(redlock, ['a', 'b'], 60_000);
      await assert.rejects(acquire(redlock, ['b', 'c'], 60_000), isRefused);
      assert.equal(await client.exists('c'), 0);
      await release(both);
      await release(await acquire(redlock, ['b', 'c'], 60_000));
    });

    proves(of("another's lock is neither extended nor released"), async (t) => {
      const client = await connect(t, under);
      const lock = await acquire(open([client]), ['a'], 60_000);
      const other = randomUUID();
      await client.set('a', other, 'PX', 5_000);
      await assert.rejects(lock.extend(90_000));
      await assert.rejects(release(lock), isRefused);
      assert.equal(await client.get('a'), other);
      within(await client.pttl('a'), 1_000, 5_000);
    });

    proves(of('who waits gets it when its time is over'), async (t) => {
      const client = await connect(t, under);
      const patient = open([client], { retryCount: 200, retryDelay: 10, retryJitter: 5 });
      const first = await acquire(patient, ['a'], 50);
      const second = await acquire(patient, ['a'], 60_000);
      assert.notEqual(second.value, first.value);
      assert.equal(await client.get('a'), second.value);
    });
  }
}

proves('redlock5: a task keeps its lock as long as it runs', async (t) => {
  const client = await connect(t, 'ioredis');
  const redlock = new redlocks.redlock5.Redlock([client], { retryCount: 0, automaticExtensionThreshold: 700 });
  const held = await redlock.using(['a'], 1_000, async (signal) => {
    const token = await client.get('a');
    const began = Date.now();
    await until('its first time is over', () => Date.now() > began + 1_200);
    assert.equal(signal.aborted, false);
    return token === (await client.get('a'));
  });
  assert.ok(held);
  assert.equal(await client.exists('a'), 0);
});

for (const under of ['ioredis5', 'ioredis']) {
  proves(`redis-semaphore over ${under}: a mutex is kept alive until it is released`, async (t) => {
    const { Mutex } = require('redis-semaphore');
    const client = await connect(t, under);
    const options = { lockTimeout: 3_000, refreshInterval: 30, acquireTimeout: 60, retryInterval: 10 };
    const [one, other] = [new Mutex(client, 'a', options), new Mutex(client, 'a', options)];
    await one.acquire();
    assert.equal(await client.get('mutex:a'), one.identifier);
    await client.pexpire('mutex:a', 2_000);
    await until('it is refreshed', async () => (await client.pttl('mutex:a')) > 2_000);
    await assert.rejects(other.acquire(), { message: /timeout/ });
    await one.release();
    assert.equal(await client.exists('mutex:a'), 0);
    await other.acquire();
    assert.equal(await client.get('mutex:a'), other.identifier);
    // Who has lost it does not take it from another.
    await one.release();
    assert.equal(await client.exists('mutex:a'), 1);
    await other.release();
  });
}
