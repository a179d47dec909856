// Takes half a second for an answer, and what the arguments say.
'use strict';
const http = require('http');
const manners = new Set(process.argv.slice(2));

if (manners.has('signal-exit')) require('signal-exit').onExit(() => console.log('bystander'));
if (manners.has('signal-exit3')) require('signal-exit3')(() => console.log('bystander'));
// A pool of connections would keep it as long.
if (manners.has('pool')) setInterval(() => {}, 1000);
const server = http.createServer((request, response) => {
  if (request.url === '/quick') return response.end(String(process.pid));
  console.log('asked');
  return setTimeout(() => response.end(String(process.pid)), 500);
});
if (manners.has('upgrade')) {
  server.on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n');
  });
}
if (manners.has('handler')) {
  process.on('SIGTERM', () => {
    console.log('its own handler');
    process.exit(7);
  });
}
if (manners.has('deaf')) console.log('listening');
else server.listen(3000, () => console.log('listening'));
if (manners.has('deaf')) setInterval(() => {}, 1000);
