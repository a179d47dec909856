// One limit for all workers: ten requests a minute from each address.
//
//   npm install
//   memstore-cluster run --bind :8080 -- node app.js
//
// With a counter in each worker it would be ten for each of them, and new ones for every worker
// that is replaced.
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { createClient } from 'redis';

const client = createClient({ socket: { path: process.env.MEMSTORE_SOCK } });
client.on('error', (error) => console.error(error.message));
await client.connect();

const app = express();
app.use(
  rateLimit({
    windowMs: 60 * 1000,
    limit: 10,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    store: new RedisStore({ sendCommand: (...command) => client.sendCommand(command) }),
  }),
);
app.get('/', (request, response) => {
  response.send(`process ${process.pid}\n`);
});
app.listen(8080);
