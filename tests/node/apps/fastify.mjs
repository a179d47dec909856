import fastify from 'fastify';
const app = fastify();
app.get('/', async () => String(process.pid));
await app.listen({ port: 3000 });
console.log('listening');
