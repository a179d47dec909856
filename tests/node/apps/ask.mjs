// Asks a server of secure.js for a path and prints the answer: ask.mjs KIND PORT PATH.
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';

const [kind, port, path] = process.argv.slice(2);
const tls = { rejectUnauthorized: false };
const options = { ...tls, host: '127.0.0.1', port, path };
const show = (stream) => stream.setEncoding('utf8').on('data', (text) => process.stdout.write(text));
const fail = (error) => {
  console.log(error.message);
  process.exit(1);
};
const overHttp2 = (scheme) => {
  const session = http2.connect(`${scheme}://127.0.0.1:${port}`, tls).on('error', fail);
  const stream = session.request({ ':path': path }).on('error', fail);
  show(stream).on('end', () => session.close());
};
const kinds = {
  https: () => https.get({ ...options, agent: false }, show).on('error', fail),
  http2: () => overHttp2('http'),
  h2: () => overHttp2('https'),
  net: () => show(net.connect(port, '127.0.0.1').on('error', fail)),
};
kinds[kind]();
