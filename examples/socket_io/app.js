// A chat between people who are connected to different workers.
//
//   npm install
//   memstore-cluster run --bind :8080 -- node app.js
//
// Then open http://localhost:8080/ twice. The workers tell each other what was said by the master's
// publish and subscribe. Both sides speak WebSocket from the first request on: in long polling each
// request could meet another worker.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const publisher = createClient({ socket: { path: process.env.MEMSTORE_SOCK } });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) {
  client.on('error', (error) => console.error(error.message));
  await client.connect();
}

const page = await readFile(new URL('index.html', import.meta.url));
const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8').end(page);
});

const io = new Server(server, {
  adapter: createAdapter(publisher, subscriber),
  transports: ['websocket'],
});
io.on('connection', (socket) => {
  socket.emit('welcome', process.pid);
  socket.on('say', (text) => io.emit('said', String(text)));
});

server.listen(8080);
