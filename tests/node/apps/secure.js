// One of the servers that are not plain HTTP/1: https, http2, h2 (over TLS, with HTTP/1 too), net.
'use strict';
const fs = require('fs');
const path = require('path');
const read = (name) => fs.readFileSync(path.join(__dirname, name));
const tls = { key: read('key.pem'), cert: read('cert.pem') };
const answer = (request, response) => {
  if (request.url === '/slow') {
    console.log('asked');
    setTimeout(() => response.end(String(process.pid)), 500);
  } else {
    response.end(String(process.pid));
  }
};
const servers = {
  https: () => require('https').createServer(tls, answer),
  http2: () => require('http2').createServer(answer),
  h2: () => require('http2').createSecureServer({ ...tls, allowHTTP1: true }, answer),
  net: () => require('net').createServer((socket) => socket.end(String(process.pid))),
};
servers[process.argv[2]]().listen(3000, () => console.log('listening'));
