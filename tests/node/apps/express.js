const express = require(process.argv[2] || 'express');
const app = express();
app.get('/', (request, response) => {
  setTimeout(() => response.send(String(process.pid)), 5);
});
app.listen(3000, () => console.log('listening'));
