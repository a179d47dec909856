import { createServer } from 'node:http';
const server = createServer((request, response) => response.end(String(process.pid)));
server.listen(3000, () => console.log('listening'));
