// Listens in the form that the first argument names, and prints what it got.
'use strict';
const http = require('http');
const { SHARED } = process.env;

const forms = {
  port: (server) => server.listen(3000),
  text: (server) => server.listen('3000'),
  host: (server) => server.listen(3000, '127.0.0.1'),
  all: (server, done) => server.listen(3000, '0.0.0.0', 100, done),
  name: (server) => server.listen(3000, 'localhost'),
  options: (server) => server.listen({ port: 3000 }),
  exclusive: (server) =>
    server.listen({ port: '3000', host: 'localhost', exclusive: true, backlog: 5 }),
  ipv6: (server) => server.listen({ port: 3000, host: '::', ipv6Only: true }),
  descriptor: (server) => server.listen({ fd: 3 }),
  path: (server) => server.listen(JSON.parse(SHARED)[0].slice('unix:'.length)),
  pathOption: (server) => server.listen({ path: JSON.parse(SHARED)[0].slice('unix:'.length) }),
  any: (server) => server.listen(0),
};

const server = http.createServer((_, response) => response.end(String(process.pid)));
server.on('listening', () => console.log(`listening ${JSON.stringify(server.address())}`));
forms[process.argv[2]](server, () => console.log('called back'));
