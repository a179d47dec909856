'use strict';
// One of Node's session stores, driven by lines of JSON: ["set", "sid", {...}] is answered with
// {"ok": ...} or {"error": "..."}. `node store.cjs KIND WHERE`.

const readline = require('node:readline');

const makers = {
  async knex(filename) {
    const { ConnectSessionKnexStore } = require('connect-session-knex');
    const knex = require('knex')({
      client: 'better-sqlite3',
      connection: { filename },
      useNullAsDefault: true,
    });
    // It cleans up when it is told to; it looks at the database once at its start.
    return new ConnectSessionKnexStore({ knex, cleanupInterval: 0 });
  },
  async files(path) {
    const FileStore = require('session-file-store')(require('express-session'));
    // It reaps when it is told to.
    const quiet = { retries: 0, reapInterval: -1, logFn() {} };
    const store = new FileStore({ path, ...quiet });
    const helpers = require('session-file-store/lib/session-file-helpers');
    store.reap = (done) => helpers.reap(store.options, done);
    return store;
  },

  async level(path) {
    const LevelStore = require('level-session-store')(require('express-session'));
    const store = new LevelStore(path);
    await new Promise((done) => store.once('connect', done));
    return store;
  },

  async 'level-ns'(path) {
    const LevelStore = require('level-session-store')(require('express-session'));
    return new LevelStore(await require('level')(path), { ns: 'app' });
  },

  /// Keys and values in hexadecimal.
  async classic(path) {
    const { ClassicLevel } = require('classic-level');
    const hex = { keyEncoding: 'hex', valueEncoding: 'hex' };
    const database = new ClassicLevel(path, hex);
    await database.open();
    const write = ([key, value]) => ({ type: value === null ? 'del' : 'put', key, value });
    return {
      batch: (writes, done) => void database.batch(writes.map(write)).then(() => done(), done),
      dump: (done) => void database.iterator().all().then((all) => done(null, all), done),
      compact: (done) => void database.compactRange('00', 'ff').then(() => done(), done),
    };
  },
};

/// What express-session does on the way to a store and back: dates become texts.
const plain = (value) => (value === undefined ? null : JSON.parse(JSON.stringify(value)));

const call = (store, method, args) =>
  new Promise((done, fail) => {
    const told = store[method](...args, (error, value) => (error ? fail(error) : done(value)));
    // connect-session-knex calls back and rejects as well, and its touch only rejects.
    if (told && typeof told.catch === 'function') told.catch(fail);
  });

async function main([kind, where]) {
  const store = await makers[kind](where);
  if (store.ready) await store.ready;
  console.log(JSON.stringify({ ok: 'ready' }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [method, ...args] = JSON.parse(line);
    for (const arg of args) {
      if (arg && arg.cookie && arg.cookie.expires) {
        arg.cookie.expires = new Date(arg.cookie.expires);
      }
    }
    try {
      const value = method === 'dbCleanup' ? await store.dbCleanup() : await call(store, method, args);
      console.log(JSON.stringify({ ok: plain(value) }));
    } catch (error) {
      console.log(JSON.stringify({ error: String((error && error.message) || error) }));
    }
  }
  process.exit(0);
}

main(process.argv.slice(2));
