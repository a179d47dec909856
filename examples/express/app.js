// Express with sessions that every worker knows: log in, count, log out.
//
//   npm install
//   memstore-cluster run --bind :8080 -- node app.js
//
// Then open http://localhost:8080/. Nothing here knows of workers: connect-redis keeps the sessions
// in what it takes for a Redis, at the path that the master names in MEMSTORE_SOCK. Kill a worker,
// or replace all of them with TERM: nobody is logged out.
import { randomBytes } from 'node:crypto';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';

const client = createClient({ socket: { path: process.env.MEMSTORE_SOCK } });
client.on('error', (error) => console.error(error.message));
await client.connect();

// All workers sign their cookies with one secret, which the first of them makes.
await client.set('cookie-secret', randomBytes(32).toString('hex'), { NX: true });

const app = express();
app.use(express.urlencoded());
app.use(
  session({
    store: new RedisStore({ client }),
    secret: await client.get('cookie-secret'),
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 60 * 60 * 1000, sameSite: 'lax' },
  }),
);

const escape = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt()};`);

app.get('/', (request, response) => {
  const { user } = request.session;
  if (!user) {
    response.send('<form method="post" action="/login"><input name="user"><button>Log in</button></form>');
    return;
  }
  request.session.visits += 1;
  response.send(
    `<p>${escape(user)}, visit ${request.session.visits}, process ${process.pid}</p>` +
      '<form method="post" action="/logout"><button>Log out</button></form>',
  );
});

app.post('/login', (request, response, next) => {
  // A new id, so that nobody can have planted the old one.
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = String(request.body?.user ?? '');
    request.session.visits = 0;
    response.redirect('/');
  });
});

app.post('/logout', (request, response, next) => {
  request.session.destroy((error) => (error ? next(error) : response.redirect('/')));
});

app.listen(8080);
