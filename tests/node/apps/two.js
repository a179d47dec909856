// Listens to two shared addresses, the second first, and to a port of its own.
'use strict';
const http = require('http');
const [first, second] = JSON.parse(process.env.SHARED).map((address) => address.split(':')[1]);
const serve = (name, port) => {
  const server = http.createServer((_, response) => response.end(name));
  return server.listen(port, () => console.log(`${name} ${server.address().port}`));
};
serve('second', Number(second));
serve('first', Number(first));
const probe = http.createServer().listen(0, () => {
  const { port } = probe.address();
  probe.close(() => serve(`own ${port}`, port));
});
