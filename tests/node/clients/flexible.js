// rate-limiter-flexible: points, blocks, bursts, penalties and a limiter for when the store is away.
'use strict';
const {
  BurstyRateLimiter,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRedisNonAtomic,
  RateLimiterRes,
} = require('rate-limiter-flexible');
const { Redis } = require('ioredis');
const { assert, connect, cuttable, proves, until, within } = require('./store');

for (const under of ['redis4', 'redis5', 'redis', 'ioredis5', 'ioredis']) {
  const of = (what) => `over ${under}: ${what}`;
  const useRedisPackage = under.startsWith('redis');
  const isRejected = (asked) => asked.then(assert.fail, (rejected) => {
    assert.ok(rejected instanceof RateLimiterRes, String(rejected));
    return rejected;
  });

  proves(of('points are consumed up to the limit, whoever consumes'), async (t) => {
    const storeClient = await connect(t, under);
    const open = () => new RateLimiterRedis({ storeClient, useRedisPackage, points: 5, duration: 60 });
    const [one, other] = [open(), open()];
    assert.equal(await one.get('ann'), null);
    const first = await one.consume('ann', 2);
    assert.deepEqual([first.consumedPoints, first.remainingPoints, first.isFirstInDuration], [2, 3, true]);
    within(first.msBeforeNext, 40_000, 60_000);
    assert.equal((await other.consume('ann', 3)).remainingPoints, 0);
    const rejected = await isRejected(one.consume('ann'));
    within(rejected.msBeforeNext, 40_000, 60_000);
    assert.equal((await other.get('ann')).consumedPoints, 6);
    assert.equal((await one.reward('ann', 4)).consumedPoints, 2);
    assert.equal((await one.penalty('ann', 2)).consumedPoints, 4);
    assert.equal((await one.consume('bob')).consumedPoints, 1);
    assert.equal(await one.delete('ann'), true);
    assert.equal(await one.get('ann'), null);
    // Points that last, which then get their time.
    await one.set('ever', 4, 0);
    assert.equal(await storeClient.ttl('rlflx:ever'), -1);
    assert.equal((await one.consume('ever')).consumedPoints, 5);
    within(await storeClient.ttl('rlflx:ever'), 40, 60);
  });

  proves(of('who is blocked stays so for his time'), async (t) => {
    const storeClient = await connect(t, under);
    const limiter = new RateLimiterRedis({ storeClient, useRedisPackage, points: 2, duration: 60, blockDuration: 300, keyPrefix: 'login' });
    await limiter.consume('ann', 2);
    await isRejected(limiter.consume('ann'));
    within(await storeClient.ttl('login:ann'), 280, 300);
    await limiter.block('bob', 100);
    within(await storeClient.ttl('login:bob'), 80, 100);
    within((await isRejected(limiter.consume('bob'))).msBeforeNext, 80_000, 100_000);
  });

  proves(of('time brings new points; bursts take from elsewhere'), async (t) => {
    const storeClient = await connect(t, under);
    const steady = new RateLimiterRedis({ storeClient, useRedisPackage, points: 1, duration: 60 });
    const burst = new RateLimiterRedis({ storeClient, useRedisPackage, points: 2, duration: 600, keyPrefix: 'burst' });
    const bursty = new BurstyRateLimiter(steady, burst);
    for (let n = 0; n < 3; n++) await bursty.consume('ann');
    await isRejected(bursty.consume('ann'));
    within(await storeClient.ttl('burst:ann'), 580, 600);
    await storeClient.expire('rlflx:ann', 0);
    assert.equal((await bursty.consume('ann')).consumedPoints, 1);
  });

  proves(of('and without scripts'), async (t) => {
    const storeClient = await connect(t, under);
    const limiter = new RateLimiterRedisNonAtomic({ storeClient, useRedisPackage, points: 2, duration: 60 });
    assert.equal((await limiter.consume('ann')).remainingPoints, 1);
    assert.equal((await limiter.consume('ann')).remainingPoints, 0);
    await isRejected(limiter.consume('ann'));
  });
}

proves('another limiter stands in while the store is away', async (t) => {
  await connect(t, 'ioredis');
  const { path, cut } = await cuttable(t);
  let isBack = false;
  const storeClient = new Redis({ path, enableOfflineQueue: false, retryStrategy: () => (isBack ? 5 : 100) });
  storeClient.on('error', () => {});
  t.after(() => storeClient.disconnect());
  await until('it is ready', () => storeClient.status === 'ready');
  const insuranceLimiter = new RateLimiterMemory({ points: 1, duration: 60 });
  const limiter = new RateLimiterRedis({ storeClient, points: 100, duration: 60, rejectIfRedisNotReady: true, insuranceLimiter });
  assert.equal((await limiter.consume('ann')).remainingPoints, 99);
  cut();
  await until('it is away', () => storeClient.status !== 'ready');
  assert.equal((await limiter.consume('ann')).remainingPoints, 0);
  isBack = true;
  await until('it is back', () => storeClient.status === 'ready');
  assert.equal((await limiter.consume('ann')).remainingPoints, 98);
});
