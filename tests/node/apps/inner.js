// Node's own cluster module inside of a worker.
'use strict';
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  const answer = (_, response) => response.end(`${process.ppid} ${process.pid}`);
  http.createServer(answer).listen(3000, () => console.log('listening'));
}
