// Visits examples/rate_limit: ten requests, whichever worker answers.
'use strict';
const { assert, proves, until } = require('../clients/store');
const { URL: url } = process.env;

const visit = async () => {
  const response = await fetch(url, { headers: { connection: 'close' } });
  const { status, headers } = response;
  return { status, text: await response.text(), wait: Number(headers.get('retry-after')) };
};

proves('ten of thirty are answered, and a new worker has no more to give', async () => {
  const answers = await Promise.all(Array.from({ length: 30 }, visit));
  const answered = answers.filter(({ status }) => status === 200);
  assert.equal(answered.length, 10);
  const refused = answers.filter(({ status }) => status === 429);
  assert.equal(refused.length, 20);
  assert.ok(refused.every(({ wait }) => wait > 0 && wait <= 60));
  const pids = answered.map(({ text }) => Number(/process (\d+)/.exec(text)[1]));
  for (const pid of new Set(pids)) process.kill(pid, 'SIGKILL');
  const { status } = await until('another answers', () => visit().catch(() => {}));
  assert.equal(status, 429);
});
