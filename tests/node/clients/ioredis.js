// ioredis: its ready check, pipelines, transactions, own commands, streams of keys, subscriptions
// and its coming back.
'use strict';
const { once } = require('events');
const { assert, awaited, cuttable, proves, sock, until, within } = require('./store');

const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const EXTEND = `
  -- only for whom it is
  if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2])
  else return 0 end
`;

const majors = [
  { name: 'ioredis5', protocol: 2 },
  { name: 'ioredis', protocol: 2 },
  { name: 'ioredis', protocol: 3 },
];

for (const { name, protocol } of majors) {
  const { Redis, ReplyError } = require(name);
  const of = (what) => `${name}, RESP${protocol}: ${what}`;
  const connect = (t, options = {}) => {
    const client = new Redis({ path: sock, protocol, ...options });
    client.on('error', () => {});
    t.after(() => client.disconnect());
    return client;
  };
  const empty = async (t) => {
    const client = connect(t);
    await client.flushall();
    return client;
  };

  proves(of('is ready, with a name, in its database, with a prefix'), async (t) => {
    const first = await empty(t);
    const third = connect(t, { db: 3, connectionName: 'third', keyPrefix: 'app:' });
    // Asked before it is connected.
    assert.equal(await third.set('k', 'in 3'), 'OK');
    assert.equal(third.status, 'ready');
    const info = await third.client('INFO');
    assert.match(info, / name=third .* db=3 /);
    assert.match(info, new RegExp(` resp=${protocol}`));
    assert.equal(await first.get('app:k'), null);
    await first.select(3);
    assert.equal(await first.get('app:k'), 'in 3');
    const stranger = connect(t, { password: 'not needed' });
    assert.equal(await stranger.ping('hello'), 'hello');
  });

  proves(of('writes under conditions and with deadlines'), async (t) => {
    const client = await empty(t);
    assert.equal(await client.set('k', 'one', 'EX', 100, 'NX'), 'OK');
    assert.equal(await client.set('k', 'two', 'NX'), null);
    within(await client.ttl('k'), 80, 100);
    assert.equal(await client.set('k', 'two', 'XX', 'GET', 'KEEPTTL'), 'one');
    within(await client.pttl('k'), 80_000, 100_000);
    assert.equal(await client.setex('s', 50, 'v'), 'OK');
    assert.equal(await client.psetex('s', 50_000, 'w'), 'OK');
    assert.equal(await client.getex('s', 'EX', 10), 'w');
    within(await client.ttl('s'), 1, 10);
    assert.equal(await client.persist('s'), 1);
    assert.equal(await client.expire('s', 0), 1);
    assert.equal(await client.exists('s', 'k', 'k'), 2);
    assert.equal(await client.getdel('k'), 'two');
    assert.equal(await client.getset('k', 'three'), null);
    assert.equal(await client.rename('k', 'moved'), 'OK');
    assert.deepEqual(await client.mget('k', 'moved'), [null, 'three']);
    await client.set('short', 'v', 'PX', 30);
    await until('it expires', async () => (await client.get('short')) === null);
  });

  proves(of('keeps every byte, and hashes'), async (t) => {
    const client = await empty(t);
    await client.set(BINARY, BINARY);
    assert.deepEqual(await client.getBuffer(BINARY), BINARY);
    assert.equal(await client.hset('h', { user: 'ann', visits: 1 }), 2);
    assert.equal(await client.hincrby('h', 'visits', 4), 5);
    assert.deepEqual({ ...(await client.hgetall('h')) }, { user: 'ann', visits: '5' });
    assert.deepEqual(await client.hmget('h', 'visits', 'none'), ['5', null]);
    assert.deepEqual(await client.hgetallBuffer('h'), {
      user: Buffer.from('ann'),
      visits: Buffer.from('5'),
    });
    assert.deepEqual(await client.hscan('h', 0), ['0', ['user', 'ann', 'visits', '5']]);
    assert.equal(await client.hdel('h', 'user', 'visits'), 2);
    assert.equal(await client.exists('h'), 0);
    assert.equal(await client.incrbyfloat('f', 0.5), '0.5');
  });

  proves(of('sends many at once, and lists many keys'), async (t) => {
    const client = await empty(t);
    const pipeline = client.pipeline();
    for (let index = 0; index < 1_000; index++) pipeline.set(`sess:${index}`, index);
    pipeline.get('sess:7').incr('sess:7').hget('sess:7', 'f').del('sess:0');
    const replies = (await pipeline.exec()).slice(1_000);
    assert.deepEqual(replies.slice(0, 2), [[null, '7'], [null, 8]]);
    assert.match(replies[2][0].message, /^WRONGTYPE/);
    assert.deepEqual(replies[3], [null, 1]);
    const found = new Set();
    for await (const keys of client.scanStream({ match: 'sess:*', count: 100 })) {
      keys.forEach((key) => found.add(key));
    }
    assert.equal(found.size, 999);
    assert.ok(!found.has('sess:0'));
    assert.equal(await client.unlink(...found), 999);
    const together = connect(t, { enableAutoPipelining: true });
    const asked = Array.from({ length: 100 }, () => together.incr('n'));
    assert.deepEqual(await Promise.all(asked), Array.from(asked, (_, index) => index + 1));
  });

  proves(of('gets errors in the words of Redis, and goes on'), async (t) => {
    const client = await empty(t);
    await client.set('text', 'abc');
    const says = (asked, words) =>
      assert.rejects(asked, (error) => error instanceof ReplyError && words.test(error.message));
    await says(client.incr('text'), /^ERR value is not an integer or out of range$/);
    await says(client.hset('text', 'f', 'v'), /^WRONGTYPE Operation against a key/);
    await says(client.expire('text', 'soon'), /^ERR value is not an integer/);
    await says(client.call('NO', 'SUCH'), /^ERR unknown command 'NO', with args/);
    await says(client.set('k', 'v', 'EX', 5, 'PX', 5), /^ERR syntax error$/);
    assert.equal(await client.get('text'), 'abc');
  });

  proves(of('has transactions, which others can spoil'), async (t) => {
    const client = await empty(t);
    const other = connect(t);
    const done = await client.multi().set('a', 1).incr('a').get('a').exec();
    assert.deepEqual(done, [[null, 'OK'], [null, 2], [null, '2']]);
    await client.watch('a');
    await other.set('a', 'spoilt');
    assert.equal(await client.multi().set('a', 'lost').exec(), null);
    assert.equal(await client.get('a'), 'spoilt');
    const mixed = await client.multi().incr('a').set('b', 'done').exec();
    assert.match(mixed[0][0].message, /not an integer/);
    assert.deepEqual(mixed[1], [null, 'OK']);
    await client.multi({ pipeline: false });
    assert.equal(await client.get('b'), 'QUEUED');
    assert.deepEqual(await client.exec(), [[null, 'done']]);
    await assert.rejects(client.multi().set('a').exec(), /EXECABORT/);
    assert.equal(await client.get('a'), 'spoilt');
  });

  proves(of('runs scripts as commands, also in pipelines'), async (t) => {
    const client = await empty(t);
    await client.script('FLUSH');
    client.defineCommand('extend', { numberOfKeys: 1, lua: EXTEND });
    await client.set('lock', 'mine', 'PX', 1_000);
    assert.equal(await client.extend('lock', 'theirs', 60_000), 0);
    assert.equal(await client.extend('lock', 'mine', 60_000), 1);
    within(await client.pttl('lock'), 40_000, 60_000);
    await client.script('FLUSH');
    const replies = await client.pipeline().extend('lock', 'mine', 9_000).get('lock').exec();
    assert.deepEqual(replies, [[null, 1], [null, 'mine']]);
    within(await client.pttl('lock'), 3_000, 9_000);
    await assert.rejects(client.evalsha('0'.repeat(40), 0), /^ReplyError: NOSCRIPT/);
  });

  proves(of('subscribes, by name, pattern and shard'), async (t) => {
    const client = await empty(t);
    const listener = connect(t);
    const heard = [];
    listener.on('message', (...told) => heard.push(['name', ...told]));
    listener.on('pmessage', (...told) => heard.push(['pattern', ...told]));
    listener.on('smessage', (...told) => heard.push(['shard', ...told]));
    assert.equal(await listener.subscribe('news', 'sport'), 2);
    assert.equal(await listener.psubscribe('new?'), 3);
    assert.equal(await listener.ssubscribe('news'), 1);
    assert.equal(await client.publish('news', 'hello'), 2);
    assert.equal(await client.spublish('news', 'sharded'), 1);
    await until('all is heard', () => heard.length === 3);
    assert.deepEqual(heard.sort(), [
      ['name', 'news', 'hello'],
      ['pattern', 'new?', 'news', 'hello'],
      ['shard', 'news', 'sharded'],
    ]);
    assert.deepEqual(await client.pubsub('NUMSUB', 'news'), ['news', 1]);
    await listener.unsubscribe('news', 'sport');
    await listener.punsubscribe('new?');
    assert.equal(await client.publish('news', 'nobody'), 0);
    const [call, told] = awaited();
    listener.on('messageBuffer', call);
    await listener.subscribe('bytes');
    await client.publish('bytes', BINARY);
    assert.deepEqual((await told)[1], BINARY);
    if (protocol === 3) assert.equal(await listener.get('none'), null);
    else await assert.rejects(listener.get('none'), /subscriber mode/);
  });

  proves(of('comes back when its connection is cut, subscribed as before'), async (t) => {
    const client = await empty(t);
    const { path, cut } = await cuttable(t);
    const reaches = { path, retryStrategy: () => 5 };
    const [reader, listener] = [connect(t, reaches), connect(t, reaches)];
    await listener.subscribe('news');
    const heard = [];
    listener.on('message', (_, message) => heard.push(message));
    await reader.set('k', 'v');
    cut();
    await once(reader, 'reconnecting');
    // It waits in the client until there is a connection.
    assert.equal(await reader.get('k'), 'v');
    await until('it is heard again', async () => (await client.publish('news', 'again')) === 1);
    await until('it is told', () => heard.includes('again'));
  });

  proves(of('leaves when asked to'), async (t) => {
    const client = await empty(t);
    const leaving = connect(t, { connectionName: 'leaving' });
    const last = leaving.set('last', 'word');
    assert.equal(await leaving.quit(), 'OK');
    assert.equal(await last, 'OK');
    const isGone = async () => !/ name=leaving /.test(await client.client('LIST'));
    await until('the other side noticed', isGone);
  });
}
