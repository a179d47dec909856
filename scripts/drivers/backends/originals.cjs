'use strict';
// The session stores of Node that the backends share their formats with, all in this one process.
//
// A line of JSON says what to do, and is answered by one: {"ok": …} or {"error": "…"}.
// `node originals.cjs FOLDER`: what is used is installed below FOLDER/stores and FOLDER/node.
// What is measured is what express-session calls: a method of the store, until it calls back.

const fs = require('node:fs');
const { createRequire } = require('node:module');
const { createHistogram } = require('node:perf_hooks');
const readline = require('node:readline');

const [folder] = process.argv.slice(2);
const ofStores = createRequire(`${folder}/stores/package.json`);
const ofNode = createRequire(`${folder}/node/package.json`);
const session = ofStores('express-session');

/// What is installed there under these names, with their versions.
const versions = (where, ...names) => {
  const read = (name) => fs.readFileSync(`${folder}/${where}/node_modules/${name}/package.json`);
  return names.map((name) => `${name} ${JSON.parse(read(name)).version}`).join(', ');
};

// session-file-store does not tell write-file-atomic whether to sync a file; by default it does.
let isSynced = true;
const atomic = createRequire(ofStores.resolve('session-file-store')).resolve('write-file-atomic');
const writeFileAtomic = ofStores(atomic);
require.cache[atomic].exports = (file, data, done) =>
  writeFileAtomic(file, data, { fsync: isSynced }, done);

// What `open` gives: a store; how it is told whether what is written is to be on the disk before
// it calls back; and what it is.
const open = {
  async memory() {
    const store = new session.MemoryStore();
    return { store, settle() {}, is: `MemoryStore of ${versions('stores', 'express-session')}` };
  },

  async sqlite(filename) {
    const { ConnectSessionKnexStore } = ofStores('connect-session-knex');
    const connection = { filename };
    const knex = ofStores('knex')({ client: 'better-sqlite3', connection, useNullAsDefault: true });
    await knex.raw('pragma journal_mode = wal');
    const store = new ConnectSessionKnexStore({ knex, cleanupInterval: 0 });
    await store.ready;
    return {
      store,
      settle: (durable) => knex.raw(`pragma synchronous = ${durable ? 'full' : 'normal'}`),
      is: versions('stores', 'connect-session-knex', 'better-sqlite3'),
    };
  },

  async leveldb(path) {
    const store = new (ofStores('level-session-store')(session))(path);
    await new Promise((done) => store.once('connect', done));
    const { db } = store;
    let sync = false;
    for (const method of ['put', 'batch']) {
      const plain = db[method].bind(db);
      db[method] = (...args) => plain(...args.slice(0, -1), { sync }, args.at(-1));
    }
    return {
      store,
      settle: (durable) => void (sync = durable),
      is: versions('stores', 'level-session-store', 'level'),
    };
  },

  async files(path) {
    const quiet = { retries: 0, reapInterval: -1, logFn() {} };
    const store = new (ofStores('session-file-store')(session))({ path, ...quiet });
    return {
      store,
      settle: (durable) => void (isSynced = durable),
      is: versions('stores', 'session-file-store'),
    };
  },

  async redis(place) {
    const { RedisStore } = ofNode('connect-redis');
    const [path, database] = place.split('?db=');
    const options = { socket: { path }, database: Number(database) };
    const client = ofNode('redis').createClient(options);
    await client.connect();
    const store = new RedisStore({ client, prefix: '' });
    return { store, settle() {}, is: versions('node', 'connect-redis', 'redis') };
  },
};

// Set by `prepare`: the ids, what is in every session besides its cookie, and milliseconds.
let keys;
let body;
let lifetime;

const made = () => ({ cookie: new session.Cookie({ maxAge: lifetime }), ...body });
const work = {
  get: (store, key, done) => store.get(key, done),
  set: (store, key, done) => store.set(key, made(), done),
  touch: (store, key, done) => store.touch(key, made(), done),
};

/// Calls back once, with what went wrong. Some of the stores call back and reject as well.
function call(store, operation, key, done) {
  const told = work[operation](store, key, done);
  if (told && typeof told.catch === 'function') told.catch(done);
}

/// So many calls at a time, the next key by `next`, until that has none.
function together(store, operation, calls, next, called) {
  return new Promise((finished, failed) => {
    let busy = calls;
    const lane = () => {
      const key = next();
      if (key === undefined) {
        busy -= 1;
        if (busy === 0) finished();
        return;
      }
      const began = process.hrtime.bigint();
      call(store, operation, key, (error, found) => {
        if (error) return failed(error);
        if (operation === 'get' && !found) return failed(new Error('a session is not there'));
        called(Number(process.hrtime.bigint() - began));
        lane();
      });
    };
    for (let n = 0; n < calls; n += 1) lane();
  });
}

const stores = {};
const commands = {
  async prepare(given) {
    ({ keys, body, lifetime } = given);
  },

  async open({ kind, place }) {
    stores[place] = await open[kind](place);
    return stores[place].is;
  },

  async fill({ place }) {
    const { store, settle } = stores[place];
    await settle(false);
    let index = 0;
    await together(store, 'set', 8, () => keys[index++], () => {});
  },

  async run({ place, durable, operation, calls, millis }) {
    const { store, settle } = stores[place];
    await settle(durable);
    const latencies = createHistogram({ lowest: 1, highest: 1e11, figures: 3 });
    const began = performance.now();
    const until = began + millis;
    // However short the time, everybody calls once.
    let first = calls;
    const next = () => {
      if (first <= 0 && performance.now() >= until) return undefined;
      first -= 1;
      return keys[Math.floor(Math.random() * keys.length)];
    };
    await together(store, operation, calls, next, (nanos) => latencies.record(Math.max(nanos, 1)));
    return {
      operations: latencies.count,
      seconds: (performance.now() - began) / 1e3,
      p50: latencies.percentile(50) / 1e3,
      p99: latencies.percentile(99) / 1e3,
    };
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...given } = JSON.parse(line);
    const answer = await commands[command](given).then(
      (ok) => ({ ok: ok ?? null }),
      (error) => ({ error: String((error && error.message) || error) }),
    );
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

main();
