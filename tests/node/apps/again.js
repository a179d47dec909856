// Closes its server and listens again, three times.
'use strict';
const http = require('http');
let round = 0;
const server = http.createServer((_, response) => response.end(`round ${round}`));
server.on('listening', () => {
  console.log(`round ${round} ${server.address().port}`);
});
process.on('SIGUSR2', () => {
  server.close(() => {
    round += 1;
    server.listen(3000);
  });
});
server.listen(3000);
