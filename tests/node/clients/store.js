// What the programs here share: where the store is, and how to lose it.
'use strict';
const assert = require('assert');
const net = require('net');
const { test } = require('node:test');

const sock = process.env.STORE_SOCK;
let proxies = 0;

// What a failed test has left open would keep the program alive.
setTimeout(() => {
  console.error('something was left open');
  process.exit(1);
}, 120_000).unref();

// A client of the package with this name, connected, to an empty store.
const connect = async (t, name) => {
  const isIo = name.startsWith('ioredis');
  const client = isIo
    ? new (require(name).Redis)(sock)
    : require(name).createClient({ socket: { path: sock } });
  t.after(() => (client.destroy ?? client.disconnect).call(client));
  if (!isIo) await client.connect();
  await (isIo ? client.flushall() : client.flushAll());
  return client;
};

// Serves a path that leads to the store and whose connections can be cut.
const cuttable = async (t) => {
  const streams = new Set();
  const server = net.createServer((client) => {
    const store = net.connect(sock);
    for (const stream of [client, store]) {
      streams.add(stream);
      stream.on('error', () => {}).on('close', () => streams.delete(stream));
    }
    client.pipe(store).pipe(client);
  });
  const path = `${sock}.${process.pid}.${proxies++}`;
  await new Promise((done) => server.listen(path, done));
  const cut = () => streams.forEach((stream) => stream.destroy());
  t.after(() => {
    server.close();
    cut();
  });
  return { path, cut };
};

// Waits until the condition gives something true, and gives it.
const until = async (what, condition) => {
  for (const deadline = Date.now() + 15_000; Date.now() < deadline; ) {
    const found = await condition();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 5));
  }
  return assert.fail(`in vain: ${what}`);
};

// The next event of this name, or of a callback that is made here: [callback, promise].
const awaited = () => {
  let called;
  const promise = new Promise((done) => (called = done));
  return [(...args) => called(args), promise];
};

const within = (value, least, most) =>
  assert.ok(value >= least && value <= most, `${value} is not from ${least} to ${most}`);

const proves = (name, body) => test(name, { timeout: 25_000 }, body);

module.exports = { assert, awaited, connect, cuttable, proves, sock, until, within };
