// connect-redis: a store asked as express-session asks it, and Express 5 with it.
'use strict';
const { promisify } = require('util');
const express = require('express');
const session = require('express-session');
const { assert, connect, proves, until, within } = require('./store');

// Each major with the clients that it takes.
const stores = [
  { name: 'connect-redis7', pick: (module) => module.default, clients: ['redis4', 'ioredis5'] },
  { name: 'connect-redis8', clients: ['redis4', 'ioredis'] },
  { name: 'connect-redis9', clients: ['redis5', 'redis'] },
  { name: 'connect-redis', clients: ['redis5', 'redis'] },
];

const cookieFor = (ms) => ({ originalMaxAge: ms, expires: new Date(Date.now() + ms), httpOnly: true, path: '/' });

for (const { name, pick = (module) => module.RedisStore, clients } of stores) {
  const RedisStore = pick(require(name));
  for (const under of clients) {
    const of = (what) => `${name} over ${under}: ${what}`;

    proves(of('keeps sessions as express-session asks'), async (t) => {
      const client = await connect(t, under);
      const store = new RedisStore({ client });
      const ask = (what, ...args) => promisify(store[what]).call(store, ...args);
      const ann = { user: 'ann', visits: 1, cookie: cookieFor(60_000) };
      await ask('set', 'a', ann);
      assert.deepEqual(await ask('get', 'a'), JSON.parse(JSON.stringify(ann)));
      within(await client.ttl('sess:a'), 40, 60);
      // Without a date of its own it is kept for a day.
      await ask('set', 'b', { user: 'bob', cookie: { expires: null } });
      within(await client.ttl('sess:b'), 86_380, 86_400);
      await ask('touch', 'a', { cookie: cookieFor(600_000) });
      within(await client.ttl('sess:a'), 580, 600);
      assert.equal((await ask('get', 'a')).user, 'ann');
      await ask('touch', 'unknown', ann);
      assert.ok(!(await ask('get', 'unknown')));
      assert.equal(await ask('length'), 2);
      assert.deepEqual((await ask('ids')).sort(), ['a', 'b']);
      const all = await ask('all');
      assert.deepEqual(all.map(({ id, user }) => [id, user]).sort(), [['a', 'ann'], ['b', 'bob']]);
      await ask('touch', 'b', { cookie: cookieFor(-1_000) });
      assert.ok(!(await ask('get', 'b')), 'what is past its time is gone');
      await ask('set', 'a', { ...ann, cookie: cookieFor(-1_000) });
      assert.equal(await ask('length'), 0);
      await ask('destroy', 'a');
    });

    proves(of('lists and clears hundreds, and nothing else'), async (t) => {
      const client = await connect(t, under);
      const store = new RedisStore({ client, prefix: 'app:' });
      const ask = (what, ...args) => promisify(store[what]).call(store, ...args);
      await client.set('other', 'kept');
      const ids = Array.from({ length: 350 }, (_, index) => `id ${index}`);
      const cookie = cookieFor(60_000);
      await Promise.all(ids.map((id) => ask('set', id, { id, cookie })));
      assert.equal(await ask('length'), 350);
      assert.deepEqual((await ask('all')).map(({ id }) => id).sort(), [...ids].sort());
      await ask('clear');
      assert.deepEqual(await ask('all'), []);
      assert.equal(await client.get('other'), 'kept');
    });
  }

  proves(`${name}: Express logs in, counts, logs out, and forgets in time`, async (t) => {
    const client = await connect(t, clients[0]);
    const app = express();
    const cookie = { maxAge: 60_000 };
    app.use(session({ store: new RedisStore({ client }), secret: 's', resave: false, saveUninitialized: false, cookie }));
    app.get('/login', (request, response) => {
      const { user } = request.query;
      request.session.regenerate(() => {
        request.session.user = user;
        response.send(request.sessionID);
      });
    });
    app.get('/brief', (request, response) => {
      request.session.cookie.maxAge = 1_000;
      response.end();
    });
    app.get('/count', (request, response) => {
      request.session.count = (request.session.count || 0) + 1;
      response.json([request.session.user, request.session.count]);
    });
    app.get('/look', (request, response) => response.json(request.session.user ?? null));
    app.get('/logout', (request, response) => request.session.destroy(() => response.send('bye')));
    const server = app.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await until('it listens', () => server.listening);
    const visit = async (path, headers = {}) => {
      const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
      const [set] = response.headers.getSetCookie();
      return { text: await response.text(), cookie: set && set.split(';')[0] };
    };
    const nobody = await visit('/look');
    assert.equal(nobody.cookie, undefined, 'nothing is kept of who only looks');
    const login = await visit('/login?user=ann');
    const ann = { cookie: login.cookie };
    assert.equal((await visit('/count', ann)).text, '["ann",1]');
    assert.equal((await visit('/count', ann)).text, '["ann",2]');
    const key = `sess:${login.text}`;
    assert.equal(JSON.parse(await client.get(key)).count, 2);
    // Looking moves the time when it ends, and changes nothing else.
    await client.expire(key, 5);
    await visit('/look', ann);
    await until('it is touched', async () => (await client.ttl(key)) > 50);
    const again = await visit('/login?user=ann', ann);
    assert.notEqual(again.text, login.text);
    assert.equal(await client.exists(key), 0, 'the old id is void');
    await visit('/logout', { cookie: again.cookie });
    assert.equal((await visit('/look', { cookie: again.cookie })).text, 'null');
    const bob = await visit('/login?user=bob');
    assert.equal(await client.exists(`sess:${bob.text}`), 1);
    await visit('/brief', { cookie: bob.cookie });
    await until('it is forgotten', async () => (await client.exists(`sess:${bob.text}`)) === 0);
  });
}
