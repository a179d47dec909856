// As a framework's custom server: it prepares itself first, and the port is from the environment.
const { createServer } = require('http');
const { parse } = require('url');
const app = {
  prepare: () => new Promise((resolve) => setImmediate(resolve)),
  handle: async (request, response) => response.end(String(process.pid)),
};
app.prepare().then(() => {
  const port = parseInt(process.env.PORT || '3000', 10);
  createServer((request, response) => app.handle(request, response, parse(request.url, true)))
    .once('error', (error) => {
      console.error(error);
      process.exit(1);
    })
    .listen(port, () => console.log('listening'));
});
