// Has a child process and a thread that listen to ports of their own before it listens itself.
'use strict';
const { execFileSync, fork } = require('child_process');
const http = require('http');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const listen = (name, port, done) => {
  const server = http.createServer((_, response) => response.end(name));
  server.listen(port, () => done(server.address().port));
};
const freePort = (done) => {
  const probe = http.createServer().listen(0, () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
};

if (!isMainThread) {
  listen('thread', workerData, (port) => parentPort.postMessage(port));
} else if (process.argv[2]) {
  listen('child', Number(process.argv[2]), (port) => process.send(port));
} else {
  const inChild = execFileSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS']);
  console.log(`options ${String(inChild).trim()}`);
  freePort((port) => {
    fork(__filename, [port]).on('message', (got) => {
      console.log(`child ${got === port}`);
      freePort((other) => {
        new Worker(__filename, { workerData: other }).on('message', (got) => {
          console.log(`thread ${got === other}`);
          listen('main', 3000, () => console.log('listening'));
        });
      });
    });
  });
}
