// What a Node program is given by `run --bind`, unasked: its `listen` takes the listener that all
// workers share, it finishes its requests at SIGTERM if it has no handler of its own, and it says
// when it is ready. Written to a file and named in NODE_OPTIONS by `master::preload`.
//
// It does nothing but in the main thread of the very process that the master started
// (LISTEN_PID), and leaves no trace for the children of that.
'use strict';

const net = require('net');
const path = require('path');
const { isMainThread } = require('worker_threads');

// A connection on which nothing is asked and nothing moves for so long is idle. Closed at once,
// it could meet a request that is on its way.
const GRACE_MS = 1000;
// The master's own: a program that asks for less must not shorten the queue of all.
const BACKLOG = 1024;

// ---- what is inherited ----

// The path is quoted by the master as NODE_OPTIONS wants it; the name of this file is unique.
function forgetThisFile() {
  const options = process.env.NODE_OPTIONS;
  if (options === undefined) return;
  const name = path.basename(__filename).replace(/\./g, '\\.');
  const rest = options.replace(new RegExp(`\\s*--require="[^"]*/${name}"`, 'g'), '').trim();
  if (rest) process.env.NODE_OPTIONS = rest;
  else delete process.env.NODE_OPTIONS;
}

function inherited() {
  const { LISTEN_PID, LISTEN_FDS, MEMSTORE_NODE_LISTENERS } = process.env;
  delete process.env.MEMSTORE_NODE_LISTENERS;
  if (LISTEN_PID !== String(process.pid) || !MEMSTORE_NODE_LISTENERS) return [];
  const addresses = JSON.parse(MEMSTORE_NODE_LISTENERS);
  if (addresses.length !== Number(LISTEN_FDS)) return [];
  return addresses.map((address, number) => new Listener(address, 3 + number));
}

const isAny = (host) => !host || host === '0.0.0.0' || host === '::';
const isLoopback = (host) => host === '::1' || /^127\./.test(host);

class Listener {
  constructor(address, fd) {
    this.address = address;
    this.fd = fd;
    this.isTaken = false;
    if (address.startsWith('unix:')) {
      this.path = path.resolve(address.slice(5));
    } else {
      const colon = address.lastIndexOf(':');
      this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
      this.port = Number(address.slice(colon + 1));
    }
  }

  // Whether it is what `listen` asks for: the port decides, unless both sides name an interface.
  isMeant({ host, port, path: file }) {
    if (this.path !== undefined) return file !== undefined && path.resolve(file) === this.path;
    if (port !== this.port) return false;
    const { host: own } = this;
    return isAny(host) || isAny(own) || host === own || (isLoopback(host) && isLoopback(own));
  }
}

function choose(listeners, asked) {
  const meant = listeners.filter((listener) => listener.isMeant(asked));
  if (meant.length) {
    const free = meant.filter((listener) => !listener.isTaken);
    return free.find((listener) => listener.host === asked.host) || free[0];
  }
  // Whatever fixed port it is, every worker would ask for it, and only one would get it.
  if (asked.port > 0 && listeners.length === 1 && !listeners[0].isTaken) return listeners[0];
  if (asked.port > 0) warnOfOwnPort(listeners, asked.port);
  return undefined;
}

function warnOfOwnPort(listeners, port) {
  const shared = listeners.map((listener) => listener.address).join(', ');
  process.emitWarning(
    `port ${port} is none of the shared listeners (${shared}): only one worker can have it; ` +
      `give it to memstore-cluster as a --bind too`,
    'MemstoreWarning',
  );
}

// Those start the program in a process of its own, and Node lets nothing through to that.
const RUNNERS = /^(npm|npx|pnpm|pnpx|yarn|yarnpkg|corepack)(-cli)?(\.[cm]?js)?$/;

function warnOfRunner(listeners) {
  const runner = path.basename(process.argv[1] || '');
  if (!listeners.length || !RUNNERS.test(runner)) return;
  process.emitWarning(
    `${runner} cannot pass the shared listeners on to what it starts; ` +
      'let memstore-cluster run the program itself, as in `-- node app.js`',
    'MemstoreWarning',
  );
}

// ---- listen ----

function takeOver(listeners) {
  const { _listen2: listen } = net.Server.prototype;
  // All forms of `listen` come down to this one, which Node keeps for those who wrap it.
  net.Server.prototype._listen2 = function take(host, port, type, backlog, fd, flags) {
    const own = () => {
      listen.call(this, host, port, type, backlog, fd, flags);
      if (this._handle) watch(this);
    };
    const isByHandle = this._handle || typeof fd === 'number';
    if (isByHandle) {
      for (const listener of listeners) if (listener.fd === fd) listener.isTaken = true;
      return own();
    }
    const isPath = port === -1 || type === -1;
    const listener = choose(listeners, isPath ? { path: host } : { host, port });
    if (!listener) return own();
    listener.isTaken = true;
    if (listener.path !== undefined) this._pipeName = listener.path;
    const go = (from) => {
      listen.call(this, null, null, null, Math.max(backlog || 0, BACKLOG), from, flags);
      if (!this._handle) return;
      keepWhenClosed(this._handle, listener);
      if (isForCluster(this)) showPort(this._handle, port);
      watch(this);
    };
    if (listener.isKept) return fetch(listener, this, go);
    return go(listener.fd);
  };
}

// Whether the cluster module opens it for its workers. They take another port than the one they
// asked for to be a failure.
function isForCluster(server) {
  const [connected] = server.listeners('connection');
  return connected !== undefined && connected.name === 'fail' && hasClusterWorkers();
}

function hasClusterWorkers() {
  return Object.keys(require('cluster').workers || {}).length > 0;
}

function showPort(handle, port) {
  const { getsockname } = handle;
  if (!getsockname) return;
  handle.getsockname = function showAsked(out) {
    const error = getsockname.call(this, out);
    out.port = port;
    return error;
  };
}

// ---- close and listen again ----
//
// A handle that is closed closes its descriptor, and Node cannot duplicate one. So the listener is
// sent to a child before, which gives it back when it is asked for.

let keeper;

function keepWhenClosed(handle, listener) {
  const { close } = handle;
  handle.close = function keepAndClose(...args) {
    if (!isEnding) keep(handle, listener);
    return close.apply(this, args);
  };
}

function keep(handle, listener) {
  if (!keeper) {
    const { fork } = require('child_process');
    keeper = fork(__filename, [], { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const over = () => {
      keeper = undefined;
    };
    keeper.on('error', over).on('exit', over).setMaxListeners(0);
    keeper.unref();
  }
  keeper.send(listener.fd, handle, () => {});
  keeper.channel.unref();
  listener.isKept = true;
  listener.isTaken = false;
}

function fetch(listener, server, go) {
  if (!keeper) {
    const error = new Error(`the shared listener ${listener.address} was closed and is lost`);
    process.nextTick(() => server.emit('error', error));
    return;
  }
  const asked = keeper;
  const got = (fd, handle) => {
    if (fd !== listener.fd) return;
    asked.off('message', got);
    if (asked.listenerCount('message') === 0) asked.channel.unref();
    listener.isKept = false;
    server._handle = handle;
    go(undefined);
  };
  asked.on('message', got);
  asked.channel.ref();
  asked.send(listener.fd);
}

// This file as a program: the child of above.
function keepForParent() {
  const kept = new Map();
  process.on('message', (fd, handle) => {
    if (handle) return kept.set(fd, handle);
    process.send(fd, kept.get(fd), () => kept.get(fd).close());
  });
}

// ---- SIGTERM ----

const servers = new Set();
const sockets = new Map();
const sessions = new Set();
const known = new WeakSet();
// The last response begun on a connection.
const answers = new WeakMap();
let isEnding = false;
let isDraining = false;
let timer;

// Called for a server whose handle is open, before it or anybody says that it listens.
function watch(server) {
  if (isDraining) net.Server.prototype.close.call(server);
  if (servers.size === 0) begin(server);
  servers.add(server);
  if (known.has(server)) return;
  known.add(server);
  server.on('close', () => {
    servers.delete(server);
    if (servers.size > 0) return;
    if (isDraining) end();
    else process.removeListener('SIGTERM', terminate);
  });
  const isTls = typeof server.setSecureContext === 'function';
  const isHttp2 = typeof server.updateSettings === 'function';
  server.on(isTls ? 'secureConnection' : 'connection', (socket) => {
    const isSession = isHttp2 && (!isTls || socket.alpnProtocol === 'h2');
    if (isSession) return;
    sockets.set(socket, undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  if (!isHttp2) return;
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    if (isDraining) dismiss(session);
  });
}

let isReady = false;

function begin(server) {
  // In front, so that a handler that is called once is still there to be counted.
  process.prependListener('SIGTERM', terminate);
  if (isReady) return;
  isReady = true;
  subscribe();
  server.once('listening', announce);
}

function subscribe() {
  const channels = require('diagnostics_channel');
  const began = ({ socket, response }) => {
    answers.set(socket, response);
    if (isDraining) response.setHeader('Connection', 'close');
  };
  const name = 'http.server.request.start';
  if (channels.subscribe) channels.subscribe(name, began);
  else channels.channel(name).subscribe(began);
}

// Node has no datagrams of unix sockets.
function announce() {
  if (!process.env.NOTIFY_SOCKET) return;
  const { spawn } = require('child_process');
  const notify = spawn('systemd-notify', ['--ready'], { stdio: 'ignore' });
  notify.on('error', () => {});
  notify.unref();
}

// signal-exit, which many packages use, listens to all signals and acts where it is alone.
function bystanders() {
  const emitters = [process.__signal_exit_emitter__, globalThis[Symbol.for('signal-exit emitter')]];
  return emitters.reduce((sum, emitter) => sum + ((emitter && emitter.count) || 0), 0);
}

function terminate() {
  if (isDraining) return;
  isEnding = true;
  if (process.listenerCount('SIGTERM') - bystanders() > 1) {
    process.removeListener('SIGTERM', terminate);
    return;
  }
  drain();
}

function drain() {
  isDraining = true;
  for (const server of servers) {
    // Those of other kinds would cut what is idle this moment.
    if (server.listening) net.Server.prototype.close.call(server);
    // A server that has given its handle away, as those of the cluster module do.
    else servers.delete(server);
  }
  for (const socket of sockets.keys()) {
    const answer = answers.get(socket);
    if (answer && !answer.headersSent) answer.setHeader('Connection', 'close');
  }
  sessions.forEach(dismiss);
  if (servers.size === 0) end();
  else timer = setInterval(closeIdle, GRACE_MS / 20);
}

function closeIdle() {
  const now = Date.now();
  for (const [socket, last] of sockets) {
    const moved = socket.bytesRead + socket.bytesWritten;
    const answer = answers.get(socket);
    const isBusy = answer && !answer.writableFinished && !answer.destroyed;
    if (isBusy || !last || last.moved !== moved) sockets.set(socket, { moved, since: now });
    else if (now - last.since >= GRACE_MS) socket.destroySoon();
  }
}

// As RFC 9113 (6.8) has it: first the notice, and when it has surely arrived the end.
function dismiss(session) {
  if (session.destroyed) return;
  session.goaway(0, 2 ** 31 - 1);
  setTimeout(() => session.close(), GRACE_MS);
}

// What still runs may come to its end; what has none, as a pool of connections, is not waited for.
function end() {
  clearInterval(timer);
  setTimeout(() => process.exit(0), GRACE_MS).unref();
}

// ---- which of all this it is ----

if (require.main === module) {
  keepForParent();
} else if (isMainThread) {
  forgetThisFile();
  const listeners = inherited();
  warnOfRunner(listeners);
  if (listeners.length) takeOver(listeners);
}
