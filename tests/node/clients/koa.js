// Sessions of Koa: koa-redis (over the ioredis 4 that it brings) under koa-session and
// koa-generic-session.
'use strict';
const Koa = require('koa');
const redisStore = require('koa-redis');
const { assert, connect, proves, sock, until, within } = require('./store');

const middlewares = {
  'koa-session': (app, store) => {
    const { createSession } = require('koa-session');
    return createSession({ store, maxAge: 60_000, prefix: 'koa:' }, app);
  },
  'koa-generic-session': (_, store) =>
    require('koa-generic-session')({ store, ttl: 60_000, prefix: 'koa:' }),
};

for (const [name, middleware] of Object.entries(middlewares)) {
  proves(`${name}: Koa counts, keeps the time and logs out`, async (t) => {
    const look = await connect(t, 'ioredis');
    const store = redisStore({ path: sock });
    // To be told of the end would be waited for, and be an error that nobody catches.
    t.after(() => store.removeAllListeners('disconnect').client.disconnect());
    const app = new Koa();
    app.keys = ['key'];
    app.use(middleware(app, store));
    app.use(async (context) => {
      if (context.path === '/logout') context.session = null;
      else context.session.visits = (context.session.visits || 0) + 1;
      context.body = String(context.session?.visits);
    });
    const server = app.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await until('it listens', () => server.listening);
    const visit = async (path, cookie = '') => {
      const url = `http://127.0.0.1:${server.address().port}${path}`;
      const response = await fetch(url, { headers: { cookie } });
      const cookies = response.headers.getSetCookie().map((set) => set.split(';')[0]);
      return { text: await response.text(), cookie: cookies.join('; ') };
    };
    const { text, cookie } = await visit('/');
    assert.equal(text, '1');
    assert.equal((await visit('/', cookie)).text, '2');
    assert.equal((await visit('/')).text, '1', 'another visitor');
    const keys = (await look.keys('koa:*')).sort();
    assert.equal(keys.length, 2);
    const visits = (await look.mget(keys)).map((kept) => JSON.parse(kept).visits);
    assert.deepEqual(visits.sort(), [1, 2]);
    // koa-session adds ten seconds.
    within(await look.ttl(keys[0]), 51, 71);
    await visit('/logout', cookie);
    assert.equal((await look.keys('koa:*')).length, 1);
    assert.equal((await visit('/', cookie)).text, '1', 'it was forgotten');
  });
}

proves('koa-redis: keeps what it is given, in the database that it is told', async (t) => {
  const look = await connect(t, 'ioredis');
  const store = redisStore({ path: sock, db: 2 });
  t.after(() => store.client.disconnect());
  await store.set('k', { n: 1 }, 60_000);
  assert.deepEqual(await store.get('k'), { n: 1 });
  assert.equal(await look.exists('k'), 0);
  await look.select(2);
  within(await look.ttl('k'), 40, 60);
  await store.set('ever', { n: 2 });
  assert.equal(await look.ttl('ever'), -1);
  await store.destroy('k');
  assert.ok(!(await store.get('k')));
  await store.quit();
});
