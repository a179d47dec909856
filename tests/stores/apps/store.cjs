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
