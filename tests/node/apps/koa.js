const Koa = require('koa');
const app = new Koa();
app.use(async (context) => {
  context.body = String(process.pid);
});
app.listen(3000, () => console.log('listening'));
