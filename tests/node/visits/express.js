// Visits examples/express: a session lasts, whoever answers and whoever dies.
'use strict';
const { assert, proves, until } = require('../clients/store');
const { URL: url } = process.env;

const visit = async (path, cookie = '', form = undefined) => {
  const method = form ? 'POST' : 'GET';
  const body = form && new URLSearchParams(form);
  const headers = { cookie, connection: 'close' };
  const response = await fetch(url + path, { method, body, redirect: 'manual', headers });
  const [set] = response.headers.getSetCookie();
  const text = await response.text();
  return { status: response.status, text, cookie: set && set.split(';')[0] };
};

proves('who has logged in is known until the logout', async () => {
  const nobody = await visit('/');
  assert.match(nobody.text, /Log in/);
  assert.equal(nobody.cookie, undefined, 'nothing is kept of who only looks');
  const login = await visit('/login', '', { user: '<Ann>' });
  assert.equal(login.status, 302);
  const [pids, counts] = [new Set(), [0]];
  const count = async () => {
    const { text } = await visit('/', login.cookie);
    const [, user, visits, pid] = /^<p>(.*), visit (\d+), process (\d+)/.exec(text) ?? [];
    assert.equal(user, '&#60;Ann&#62;', text);
    pids.add(Number(pid));
    counts.push(Number(visits));
    return pids.size;
  };
  await until('both workers answer', async () => (await count()) === 2);
  assert.deepEqual(counts, Array.from(counts, (_, index) => index));
  process.kill([...pids][0], 'SIGKILL');
  // What it had begun to answer is lost with it, counted or not.
  const lost = (error) => assert.equal(error.name, 'TypeError', error);
  await until('another takes its place', async () => (await count().catch(lost)) === 3);
  assert.ok(counts.every((visits, index) => index === 0 || visits > counts[index - 1]), `${counts}`);

  const another = await visit('/login', login.cookie, { user: 'Bob' });
  assert.notEqual(another.cookie, login.cookie);
  assert.match((await visit('/', login.cookie)).text, /Log in/);
  assert.match((await visit('/', another.cookie)).text, /Bob, visit 1/);
  assert.equal((await visit('/logout', another.cookie, {})).status, 302);
  assert.match((await visit('/', another.cookie)).text, /Log in/);
  await visit('/login', '', { user: 'Carol' });
});
