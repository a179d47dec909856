// Socket.IO's adapter: servers that know of each other only through the store reach each other's
// clients.
'use strict';
const http = require('http');
const { createAdapter, createShardedAdapter } = require('@socket.io/redis-adapter');
const { Server } = require('socket.io');
const { io } = require('socket.io-client');
const { assert, awaited, connect, proves, until } = require('./store');

// The next event of this name.
const next = (emitter, name) => {
  const [call, promise] = awaited();
  emitter.once(name, call);
  return promise;
};

// A server with an adapter of its own: [server, a client of it].
const open = async (t, under, create) => {
  const listener = http.createServer();
  const server = new Server(listener);
  let subscriber;
  t.after(async () => {
    await server.close();
    // It has unsubscribed before its connection is closed.
    await subscriber.ping();
  });
  subscriber = await connect(t, under);
  server.adapter(create(await connect(t, under), subscriber));
  server.on('connection', (socket) => {
    socket.on('join', (room, done) => Promise.resolve(socket.join(room)).then(() => done()));
    socket.on('tell', (room, ...told) => socket.to(room).emit('told', ...told));
  });
  await new Promise((done) => listener.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${listener.address().port}`;
  const client = io(url, { transports: ['websocket'] });
  t.after(() => client.close());
  await next(client, 'connect');
  return [server, client];
};

const adapters = { plain: createAdapter, sharded: createShardedAdapter };
for (const [kind, create] of Object.entries(adapters)) {
  for (const under of ['redis4', 'redis5', 'redis', 'ioredis5', 'ioredis']) {
    const of = (what) => `${kind} adapter over ${under}: ${what}`;

    proves(of('everybody is reached, and everybody is known'), async (t) => {
      const [[one, ann], [two, bob]] = [await open(t, under, create), await open(t, under, create)];
      await until('they know each other', async () => (await one.fetchSockets()).length === 2);
      const all = [next(ann, 'all'), next(bob, 'all')];
      one.emit('all', 'text', { some: ['thing'] }, Buffer.from([0, 255, 13, 10]));
      for (const told of await Promise.all(all)) {
        assert.deepEqual(told, ['text', { some: ['thing'] }, Buffer.from([0, 255, 13, 10])]);
      }
      const ids = (await two.fetchSockets()).map((socket) => socket.id);
      assert.deepEqual(ids.sort(), [ann.id, bob.id].sort());
      await ann.emitWithAck('join', 'room');
      await bob.emitWithAck('join', 'room');
      const [told, toAnn] = [next(bob, 'told'), []];
      ann.on('told', () => toAnn.push('she told it herself'));
      ann.emit('tell', 'room', 'hello');
      assert.deepEqual(await told, ['hello']);
      assert.deepEqual(toAnn, []);
      assert.equal((await two.in('room').fetchSockets()).length, 2);
    });

    proves(of('servers command and ask each other'), async (t) => {
      const [[one, ann], [two, bob]] = [await open(t, under, create), await open(t, under, create)];
      await until('they know each other', async () => (await one.fetchSockets()).length === 2);
      two.on('question', (what, answer) => answer(`${what}!`));
      assert.deepEqual(await one.serverSideEmitWithAck('question', 'so'), ['so!']);
      bob.on('asked', (what, answer) => answer(`${what} of bob`));
      ann.on('asked', (what, answer) => answer(`${what} of ann`));
      const answers = await one.timeout(5_000).emitWithAck('asked', 'name');
      assert.deepEqual(answers.sort(), ['name of ann', 'name of bob']);
      one.socketsJoin('everybody');
      const inRoom = () => two.in('everybody').fetchSockets();
      await until('all have joined', async () => (await inRoom()).length === 2);
      const gone = next(bob, 'disconnect');
      one.in(bob.id).disconnectSockets(true);
      assert.equal((await gone)[0], 'io server disconnect');
      await until('he left the room', async () => (await inRoom()).length === 1);
    });
  }
}
