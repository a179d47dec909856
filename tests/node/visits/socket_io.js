// Visits examples/socket_io: people at different workers hear each other, also at a new one.
'use strict';
const { io } = require('socket.io-client');
const { assert, proves, until } = require('../clients/store');
const { URL: url } = process.env;

// Somebody who listens, and at which worker: for good, he comes back.
const join = async (t) => {
  const client = io(url, { transports: ['websocket'], forceNew: true, reconnectionDelay: 20 });
  t.after(() => client.close());
  const person = { client, heard: [], worker: undefined };
  client.on('welcome', (pid) => (person.worker = pid));
  client.on('disconnect', () => (person.worker = undefined));
  client.on('said', (text) => person.heard.push(text));
  await until('a worker says welcome', () => person.worker);
  return person;
};

proves('a page and its script are served', async () => {
  assert.match(await (await fetch(url)).text(), /<title>Chat/);
  assert.match(await (await fetch(`${url}/socket.io/socket.io.js`)).text(), /Socket\.IO v4/);
});

proves('what one says all hear, wherever they are', async (t) => {
  const ann = await join(t);
  const bob = await until('somebody is at the other worker', async () => {
    const person = await join(t);
    return person.worker !== ann.worker && person;
  });
  const talk = (from, to, text) => {
    from.client.emit('say', text);
    return until(`both hear it ${text}`, () => from.heard.includes(text) && to.heard.includes(text));
  };
  await talk(ann, bob, 'from Ann');
  await talk(bob, ann, 'from Bob');
  const before = bob.worker;
  process.kill(before, 'SIGKILL');
  await until('he is at another worker', () => bob.worker && bob.worker !== before);
  await talk(ann, bob, 'from Ann again');
});
