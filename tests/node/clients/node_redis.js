// node-redis: its own ways to read and write, to watch, to run scripts, to subscribe, to come back.
'use strict';
const { assert, awaited, cuttable, proves, sock, until, within } = require('./store');

// Every byte there is.
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const COMPARE_DELETE = `if redis.call("get",KEYS[1]) == ARGV[1] then
  return redis.call("del",KEYS[1])
else
  return 0
end`;

const majors = [
  { name: 'redis4', RESP: 2 },
  { name: 'redis5', RESP: 2 },
  { name: 'redis5', RESP: 3 },
  { name: 'redis', RESP: 2 },
  { name: 'redis', RESP: 3 },
];

for (const { name, RESP } of majors) {
  const redis = require(name);
  const is4 = name === 'redis4';
  const of = (what) => `${name}, RESP${RESP}: ${what}`;
  const end = (client) => client.isOpen && (is4 ? client.disconnect() : client.destroy());
  const connect = async (t, options = {}) => {
    const client = redis.createClient({ RESP, socket: { path: sock }, ...options });
    client.on('error', () => {});
    t.after(() => end(client));
    await client.connect();
    return client;
  };
  const empty = async (t) => {
    const client = await connect(t);
    await client.flushAll();
    return client;
  };

  proves(of('says who it is and stays in its database'), async (t) => {
    const first = await empty(t);
    const third = await connect(t, { database: 3, name: 'third' });
    assert.equal(await third.ping(), 'PONG');
    assert.equal(await third.clientGetName(), 'third');
    const info = await third.clientInfo();
    assert.equal(info.db, 3);
    assert.equal(info.name, 'third');
    await third.set('k', 'in 3');
    assert.equal(await first.get('k'), null);
    await first.select(3);
    assert.equal(await first.get('k'), 'in 3');
    assert.match(await first.info('server'), /redis_version:7/);
    assert.equal(await third.dbSize(), 1);
  });

  proves(of('writes under conditions and with deadlines'), async (t) => {
    const client = await empty(t);
    assert.equal(await client.set('k', 'one', { EX: 100 }), 'OK');
    within(await client.ttl('k'), 80, 100);
    assert.equal(await client.set('k', 'two', { NX: true }), null);
    assert.equal(await client.set('none', 'two', { XX: true }), null);
    assert.equal(await client.set('k', 'two', { GET: true, KEEPTTL: true }), 'one');
    within(await client.pTTL('k'), 80_000, 100_000);
    assert.equal(await client.getEx('k', is4 ? { PERSIST: true } : { type: 'PERSIST' }), 'two');
    assert.equal(await client.ttl('k'), -1);
    assert.equal(Number(await client.expire('k', 50)), 1);
    assert.equal(Number(await client.expire('k', 60, 'LT')), 0);
    assert.equal(Number(await client.expire('k', -1)), 1);
    assert.equal(await client.get('k'), null);
    assert.equal(await client.ttl('k'), -2);
    assert.equal(await client.setEx('s', 10, 'v'), 'OK');
    assert.equal(Number(await client.setNX('s', 'w')), 0);
    assert.equal(await client.getDel('s'), 'v');
    await client.set('short', 'v', { PX: 30 });
    await until('it expires', async () => (await client.exists('short')) === 0);
  });

  proves(of('counts, and lists many keys'), async (t) => {
    const client = await empty(t);
    assert.equal(await client.incr('n'), 1);
    assert.equal(await client.incrBy('n', 41), 42);
    assert.equal(await client.decrBy('n', 2), 40);
    assert.equal(Number(await client.incrByFloat('f', 1.5)), 1.5);
    assert.equal(await client.append('n', '0'), 3);
    await client.flushDb();
    const names = Array.from({ length: 500 }, (_, index) => `sess:${index}`);
    assert.equal(await client.mSet(names.map((name) => [name, `of ${name}`])), 'OK');
    await client.set('other', '');
    const found = new Set();
    for await (const some of client.scanIterator({ MATCH: 'sess:*', COUNT: 100 })) {
      [].concat(some).forEach((name) => found.add(name));
    }
    assert.deepEqual([...found].sort(), [...names].sort());
    const values = await client.mGet([...names.slice(0, 3), 'none']);
    assert.deepEqual(values, ['of sess:0', 'of sess:1', 'of sess:2', null]);
    assert.deepEqual((await client.keys('sess:49?')).length, 10);
    assert.equal(await client.del(names.slice(100)), 400);
    assert.equal(await client.unlink(names), 100);
    assert.equal(await client.dbSize(), 1);
  });

  proves(of('keeps every byte, large values and hashes'), async (t) => {
    const client = await empty(t);
    const raw = is4 ? null : client.withTypeMapping({ [redis.RESP_TYPES.BLOB_STRING]: Buffer });
    const get = (key) =>
      is4 ? client.get(redis.commandOptions({ returnBuffers: true }), key) : raw.get(key);
    await client.set(BINARY, BINARY);
    assert.deepEqual(await get(BINARY), BINARY);
    const large = Buffer.alloc(3 << 20, BINARY);
    await client.set('large', large);
    assert.ok(large.equals(await get('large')));
    assert.equal(await client.hSet('h', { user: 'ann', visits: '1' }), 2);
    assert.equal(await client.hIncrBy('h', 'visits', 4), 5);
    assert.deepEqual({ ...(await client.hGetAll('h')) }, { user: 'ann', visits: '5' });
    assert.deepEqual(await client.hmGet('h', ['user', 'none']), ['ann', null]);
    const fields = [];
    for await (const some of client.hScanIterator('h')) {
      [].concat(some).forEach(({ field, value }) => fields.push([field, value]));
    }
    assert.deepEqual(fields, [['user', 'ann'], ['visits', '5']]);
    assert.deepEqual({ ...(await client.hGetAll('none')) }, {});
    assert.equal(await client.type('h'), 'hash');
    // In the order in which they were sent, whatever is between.
    const replies = await Promise.all(
      Array.from({ length: 2_000 }, (_, index) =>
        index % 2 ? client.incr('n') : client.set(`k${index}`, BINARY),
      ),
    );
    assert.deepEqual(replies.filter((reply) => reply !== 'OK'), replies.map((_, n) => n + 1).slice(0, 1_000));
  });

  proves(of('gets errors in the words of Redis, and goes on'), async (t) => {
    const client = await empty(t);
    await client.set('text', 'abc');
    await client.hSet('h', 'f', 'v');
    const says = (asked, words) => assert.rejects(asked, (error) => words.test(error.message));
    await says(client.incr('text'), /^ERR value is not an integer or out of range$/);
    await says(client.get('h'), /^WRONGTYPE Operation against a key/);
    await says(client.set('k', 'v', { EX: 0 }), /^ERR invalid expire time in 'set' command$/);
    await says(client.sendCommand(['NO', 'SUCH']), /^ERR unknown command 'NO', with args/);
    await says(client.sendCommand(['GET']), /^ERR wrong number of arguments for 'get' command$/);
    assert.equal(await client.get('text'), 'abc');
  });

  proves(of('has transactions, which others can spoil'), async (t) => {
    const client = await empty(t);
    const other = await connect(t);
    const replies = await client.multi().set('a', '1').incr('a').get('a').exec();
    assert.deepEqual(replies, ['OK', 2, '2']);
    assert.deepEqual(await client.multi().set('a', '3').get('a').execAsPipeline(), ['OK', '3']);
    await client.watch('a');
    await other.set('a', 'spoilt');
    await assert.rejects(client.multi().set('a', 'lost').exec(), redis.WatchError);
    assert.equal(await client.get('a'), 'spoilt');
    await client.watch('a');
    assert.deepEqual(await client.multi().set('a', 'won').exec(), ['OK']);
    await client.set('t', 'text');
    const failing = client.multi().incr('t').set('b', 'done').exec();
    if (is4) await failing.catch(() => {});
    else await assert.rejects(failing, redis.MultiErrorReply);
    assert.equal(await client.get('b'), 'done');
  });

  proves(of('runs scripts that it loads when they are missing'), async (t) => {
    const parseCommand = (parser, key, token) => {
      parser.pushKey(key);
      parser.push(token);
    };
    const release = redis.defineScript({
      NUMBER_OF_KEYS: 1,
      SCRIPT: COMPARE_DELETE,
      transformReply: (reply) => reply,
      ...(is4 ? { transformArguments: (...args) => args } : { parseCommand }),
    });
    const client = await connect(t, { scripts: { release } });
    await client.flushAll();
    await client.scriptFlush();
    await client.set('lock', 'mine', { NX: true, PX: 10_000 });
    assert.equal(await client.release('lock', 'theirs'), 0);
    assert.equal(await client.release('lock', 'mine'), 1);
    assert.equal(await client.exists('lock'), 0);
    const asked = { keys: ['lock'], arguments: ['mine'] };
    await client.set('lock', 'mine');
    assert.equal(await client.eval(COMPARE_DELETE, asked), 1);
    const sha = await client.scriptLoad(COMPARE_DELETE);
    assert.equal(await client.evalSha(sha, asked), 0);
    assert.deepEqual((await client.scriptExists([sha])).map(Number), [1]);
    await assert.rejects(client.evalSha('0'.repeat(40), asked), /NOSCRIPT/);
  });

  proves(of('subscribes, by name, pattern and shard'), async (t) => {
    const client = await empty(t);
    const listener = await connect(t);
    const heard = [];
    await listener.subscribe('news', (message, channel) => heard.push(['name', channel, message]));
    await listener.pSubscribe('new?', (message, channel) => heard.push(['pattern', channel, message]));
    await listener.sSubscribe('news', (message, channel) => heard.push(['shard', channel, message]));
    assert.equal(await client.publish('news', 'hello'), 2);
    assert.equal(await client.sPublish('news', 'sharded'), 1);
    await until('all is heard', () => heard.length === 3);
    assert.deepEqual(heard.sort(), [
      ['name', 'news', 'hello'],
      ['pattern', 'news', 'hello'],
      ['shard', 'news', 'sharded'],
    ]);
    assert.deepEqual({ ...(await client.pubSubNumSub(['news', 'none'])) }, { news: 1, none: 0 });
    assert.deepEqual(await client.pubSubChannels('n*'), ['news']);
    await listener.unsubscribe('news');
    await listener.pUnsubscribe();
    assert.equal(await client.publish('news', 'nobody'), 0);
    const [call, bytes] = awaited();
    await listener.subscribe('bytes', call, true);
    await client.publish('bytes', BINARY);
    assert.deepEqual((await bytes)[0], BINARY);
    if (RESP === 3) assert.equal(await listener.get('none'), null);
  });

  proves(of('comes back when its connection is cut, subscribed as before'), async (t) => {
    const client = await empty(t);
    const { path, cut } = await cuttable(t);
    const reaches = { socket: { path, reconnectStrategy: 5 } };
    const [reader, listener] = [await connect(t, reaches), await connect(t, reaches)];
    const heard = [];
    await listener.subscribe('news', (message) => heard.push(message));
    await client.set('k', 'v');
    assert.equal(await reader.get('k'), 'v');
    const [lost, isLost] = awaited();
    reader.once('reconnecting', lost);
    cut();
    await isLost;
    assert.equal(await reader.get('k'), 'v');
    await until('it is heard again', async () => (await client.publish('news', 'again')) === 1);
    await until('it is told', () => heard.includes('again'));
  });

  proves(of('leaves when asked to'), async (t) => {
    const client = await empty(t);
    const leaving = await connect(t, { name: 'leaving' });
    const last = leaving.set('last', 'word');
    await (is4 ? leaving.quit() : leaving.close());
    assert.equal(await last, 'OK');
    assert.equal(await client.get('last'), 'word');
    const isGone = async () => !(await client.clientList()).some(({ name }) => name === 'leaving');
    await until('the other side noticed', isGone);
  });
}
