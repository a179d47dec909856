// Limits of express-rate-limit (over rate-limit-redis) and of Fastify: one for all servers, and their
// windows end.
'use strict';
const express = require('express');
const { rateLimit } = require('express-rate-limit');
const { assert, connect, proves, until, within } = require('./store');

const WINDOW = 60_000;

const senders = {
  redis: (client) => (...args) => client.sendCommand(args),
  ioredis: (client) => (...args) => client.call(...args),
};

// A server of its own: its port.
const serve = async (t, store, options = {}) => {
  const app = express();
  app.use(rateLimit({ windowMs: WINDOW, limit: 3, standardHeaders: 'draft-6', legacyHeaders: false, store, ...options }));
  app.get('/', (request, response) => response.status(Number(request.query.status || 200)).end());
  const server = app.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await until('it listens', () => server.listening);
  const { port } = server.address();
  return async (query = '') => {
    const response = await fetch(`http://127.0.0.1:${port}/${query}`);
    await response.text();
    const header = (name) => Number(response.headers.get(name));
    return [response.status, header('ratelimit-remaining'), header('ratelimit-reset')];
  };
};

for (const name of ['rate-limit-redis', 'rate-limit-redis4']) {
  const { RedisStore } = require(name);
  for (const under of ['redis4', 'redis', 'ioredis5', 'ioredis']) {
    const send = senders[under.replace(/\d$/, '')];
    const of = (what) => `${name} over ${under}: ${what}`;

    proves(of('two servers share one limit'), async (t) => {
      const client = await connect(t, under);
      const open = () => new RedisStore({ sendCommand: send(client) });
      const visits = [await serve(t, open()), await serve(t, open())];
      for (const [index, remaining] of [2, 1, 0].entries()) {
        const [status, left, reset] = await visits[index % 2]();
        assert.deepEqual([status, left], [200, remaining]);
        within(reset, 40, 60);
      }
      assert.equal((await visits[0]())[0], 429);
      assert.equal((await visits[1]())[0], 429);
      const [key, ...others] = await client.keys('rl:*');
      assert.deepEqual(others, []);
      assert.equal(await client.get(key), '5');
      within(await client.ttl(key), 40, 60);
      // Its time comes.
      await client.expire(key, 0);
      assert.deepEqual((await visits[0]()).slice(0, 2), [200, 2]);
    });

    proves(of('counts by hand, and again when the scripts are gone'), async (t) => {
      const client = await connect(t, under);
      const store = new RedisStore({ sendCommand: send(client), prefix: 'by hand ' });
      await store.init({ windowMs: WINDOW });
      assert.equal((await store.increment('k')).totalHits, 1);
      const { totalHits, resetTime } = await store.increment('k');
      assert.equal(totalHits, 2);
      within(resetTime - Date.now(), WINDOW - 20_000, WINDOW);
      await send(client)('PEXPIRE', 'by hand k', '30');
      await until('the window ends', async () => (await client.exists('by hand k')) === 0);
      await send(client)('SCRIPT', 'FLUSH');
      assert.equal((await store.increment('k')).totalHits, 1);
      await store.increment('k');
      await store.decrement('k');
      const found = await store.get('k');
      assert.equal(found.totalHits, 1);
      within(found.resetTime - Date.now(), WINDOW - 20_000, WINDOW);
      await store.resetKey('k');
      assert.equal(await client.exists('by hand k'), 0);
    });
  }

  proves(`${name}: what succeeds is not counted where that is asked`, async (t) => {
    const client = await connect(t, 'redis');
    const store = new RedisStore({ sendCommand: senders.redis(client) });
    const visit = await serve(t, store, { skipSuccessfulRequests: true });
    await visit();
    const [key] = await client.keys('rl:*');
    await until('it is taken back', async () => (await client.get(key)) === '0');
    await visit('?status=401');
    assert.equal(await client.get(key), '1');
  });
}

proves('rate-limit-redis4: the window moves where that is asked', async (t) => {
  const client = await connect(t, 'redis');
  const { RedisStore } = require('rate-limit-redis4');
  const store = new RedisStore({ sendCommand: senders.redis(client), resetExpiryOnChange: true });
  await store.init({ windowMs: WINDOW });
  await store.increment('k');
  await client.expire('rl:k', 5);
  assert.equal((await store.increment('k')).totalHits, 2);
  within(await client.ttl('rl:k'), 40, 60);
});

for (const under of ['ioredis5', 'ioredis']) {
  const of = (what) => `@fastify/rate-limit over ${under}: ${what}`;
  // A server of its own; nobody listens to it.
  const serve = async (t, redis, options) => {
    const fastify = require('fastify')();
    t.after(() => fastify.close());
    await fastify.register(require('@fastify/rate-limit'), { max: 2, timeWindow: WINDOW, redis, ...options });
    fastify.get('/', async () => 'answered');
    return async () => {
      const { statusCode, headers } = await fastify.inject('/');
      return [statusCode, Number(headers['x-ratelimit-remaining']), Number(headers['retry-after'])];
    };
  };

  proves(of('two servers share one limit'), async (t) => {
    const client = await connect(t, under);
    const visits = [await serve(t, client), await serve(t, client)];
    assert.deepEqual((await visits[0]()).slice(0, 2), [200, 1]);
    assert.deepEqual((await visits[1]()).slice(0, 2), [200, 0]);
    const [status, , wait] = await visits[0]();
    assert.equal(status, 429);
    within(wait, 40, 60);
    const [key] = await client.keys('fastify-rate-limit-*');
    await client.pexpire(key, 0);
    assert.deepEqual((await visits[1]()).slice(0, 2), [200, 1]);
  });

  proves(of('who goes on waits longer and longer'), async (t) => {
    const client = await connect(t, under);
    const visit = await serve(t, client, { max: 1, exponentialBackoff: true });
    const waits = [];
    for (let n = 0; n < 4; n++) waits.push((await visit())[2]);
    assert.ok(Number.isNaN(waits[0]));
    for (const [n, minutes] of [1, 2, 4].entries()) within(waits[n + 1], minutes * 60 - 20, minutes * 60);
  });
}
