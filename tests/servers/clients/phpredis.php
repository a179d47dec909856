<?php
// phpredis, and the sessions that PHP keeps by it.
declare(strict_types=1);
require 'store.php';

function client(string $path = SOCK): Redis
{
    $client = new Redis();
    $client->connect($path);
    return $client;
}

proves('strings, counters and hashes', function () {
    $c = client();
    same($c->set('k', 'v', ['nx', 'ex' => 100]), true);
    same($c->set('k', 'w', ['nx', 'px' => 100]), false);
    same([$c->get('k'), $c->get('none')], ['v', false]);
    is_left($c->pttl('k'), 100000);
    same($c->setex('k', 50, "\0\r\n\xff"), true);
    same($c->get('k'), "\0\r\n\xff");
    is_left($c->ttl('k'), 50);
    same([$c->persist('k'), $c->ttl('k'), $c->ttl('none')], [true, -1, -2]);
    same($c->mset(['a' => '1', 'b' => '2']), true);
    same($c->mget(['a', 'none', 'b']), ['1', false, '2']);
    same([$c->incrBy('a', 41), $c->decr('a'), $c->incrByFloat('a', 0.5)], [42, 41, 41.5]);
    same([$c->exists('a', 'b', 'none'), $c->del('a', 'none')], [2, 1]);
    same($c->unlink(['b']), 1);
    same($c->incr('k'), false);
    same(trim($c->getLastError()), 'ERR value is not an integer or out of range');
    same($c->hMSet('h', ['a' => 1, 'b' => 2]), true);
    same($c->hSet('h', 'a', '5'), 0);
    same([$c->hGetAll('h'), $c->hIncrBy('h', 'b', 3)], [['a' => '5', 'b' => '2'], 5]);
    same($c->hMGet('h', ['a', 'none']), ['a' => '5', 'none' => false]);
    same([$c->type('h'), $c->type('k')], [Redis::REDIS_HASH, Redis::REDIS_STRING]);
    same([$c->select(1), $c->dbSize(), $c->select(0), $c->dbSize()], [true, 0, true, 2]);
    same($c->info()['redis_mode'], 'standalone');
    same($c->rawCommand('NOSUCH'), false);
});

proves('what serializes and prefixes by itself', function () {
    $c = client();
    $c->setOption(Redis::OPT_PREFIX, 'app:');
    $c->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
    $c->set('k', ['a' => [1, null]], 100);
    same($c->get('k'), ['a' => [1, null]]);
    same(store()->get('app:k'), serialize(['a' => [1, null]]));
    same($c->keys('*'), ['app:k']);
});

proves('transactions, conflicts and pipelines', function () {
    [$c, $other] = [client(), client()];
    same($c->multi()->set('n', '1')->incr('n')->get('none')->exec(), [true, 2, false]);
    $c->watch('n');
    $value = (int) $c->get('n');
    $other->set('n', '10');
    same($c->multi()->set('n', (string) ($value + 1))->exec(), false);
    same($c->get('n'), '10');
    $c->watch('n');
    $c->unwatch();
    $other->set('n', '11');
    same($c->multi()->incr('n')->exec(), [12]);
    $c->multi()->set('n', 'x');
    $c->discard();
    same($c->get('n'), '12');
    $pipe = $c->pipeline();
    for ($n = 0; $n < 500; $n++) {
        $pipe->set("k$n", (string) $n);
    }
    same(count(array_filter($pipe->get('k7')->exec())), 501);
});

proves('walks', function () {
    $c = client();
    for ($n = 0; $n < 150; $n++) {
        $c->set("user:$n", '1');
        $c->set("other:$n", '1');
    }
    foreach ([Redis::SCAN_NORETRY, Redis::SCAN_RETRY] as $retry) {
        $c->setOption(Redis::OPT_SCAN, $retry);
        [$at, $found] = [null, []];
        while (($keys = $c->scan($at, 'user:*', 9)) !== false) {
            $found = [...$found, ...$keys];
        }
        same(count(array_unique($found)), 150);
    }
});

proves('messages', function () {
    together(2, function (int $n) {
        if ($n === 1) {
            until('it is subscribed', fn () => store()->pubsub('numpat') === 2);
            same([store()->publish('news', 'hello'), store()->publish('weather', 'fine')], [1, 1]);
            return;
        }
        $got = [];
        $listener = client();
        $listener->setOption(Redis::OPT_READ_TIMEOUT, 15);
        $hear = function ($redis, $pattern, $channel, $text) use (&$got) {
            $got[$channel] = [$pattern, $text];
            if (count($got) === 2) {
                $redis->close();
            }
        };
        // Closing it is the way out.
        same(refused(fn () => $listener->psubscribe(['news', 'w*'], $hear)), 'Connection closed');
        same($got['news'], ['news', 'hello']);
        same($got['weather'], ['w*', 'fine']);
    });
});

proves('scripts that are known', function () {
    $c = client();
    $release = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
    $c->set('lock', 'mine');
    same($c->evalSha(sha1($release), ['lock', 'theirs'], 1), false);
    same(explode(' ', $c->getLastError())[0], 'NOSCRIPT');
    same($c->eval($release, ['lock', 'theirs'], 1), 0);
    same($c->evalSha(sha1($release), ['lock', 'mine'], 1), 1);
    same($c->script('exists', sha1($release), sha1('other')), [1, 0]);
});

proves('a lost connection comes back', function () {
    [$path, $cut] = cuttable();
    $c = client($path);
    $c->set('k', 'v');
    $id = fn () => $c->rawCommand('CLIENT', 'ID');
    $before = $id();
    $cut();
    until('it is another connection', function () use ($id, $before) {
        try {
            return $id() > $before;
        } catch (RedisException) {
            return false;
        }
    });
    same($c->get('k'), 'v');
});

/** Makes sessions begin and end as in a request of its own. */
function request(string $id, callable $body, array $options = []): mixed
{
    session_id($id);
    $path = 'unix://' . SOCK . '?database=1&prefix=app:';
    session_start($options + [
        'save_handler' => 'redis',
        'save_path' => $path,
        'gc_maxlifetime' => 3600,
        'use_cookies' => 0,
        'cache_limiter' => '',
    ]);
    $result = $body();
    session_write_close();
    $_SESSION = [];
    return $result;
}

function kept(string $id): string|false
{
    store()->select(1);
    $kept = store()->get("app:$id");
    store()->select(0);
    return $kept;
}

function left(string $id): int
{
    store()->select(1);
    $left = store()->ttl("app:$id");
    store()->select(0);
    return $left;
}

$count = fn () => $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;

proves('sessions', function () use ($count) {
    request('ann', fn () => $_SESSION['user'] = 'ann');
    same(kept('ann'), 'user|s:3:"ann";');
    is_left(left('ann'), 3600);
    same([request('ann', $count), request('ann', $count), request('bob', $count)], [1, 2, 1]);
    same(request('ann', fn () => $_SESSION), ['user' => 'ann', 'count' => 2]);
    $new = request('ann', function () {
        session_regenerate_id(true);
        return session_id();
    });
    same([kept('ann'), left('ann')], [false, -2]);
    same(request($new, $count), 3);
    request($new, fn () => session_destroy());
    same(kept($new), false);
    same(request($new, fn () => $_SESSION), []);
});

proves('a session that is only read lives on', function () {
    request('ann', fn () => $_SESSION['user'] = 'ann');
    request('ann', fn () => $_SESSION['user'], ['gc_maxlifetime' => 7200]);
    is_left(left('ann'), 7200);
    same(kept('ann'), 'user|s:3:"ann";');
    request('ann', fn () => $_SESSION['user'], ['gc_maxlifetime' => 60, 'read_and_close' => true]);
    is_left(left('ann'), 7200);
});

proves('locked sessions lose no update', function () use ($count) {
    ini_set('redis.session.locking_enabled', '1');
    ini_set('redis.session.lock_retries', '-1');
    ini_set('redis.session.lock_expire', '200');
    together(4, function () use ($count) {
        for ($n = 0; $n < 10; $n++) {
            request('ann', $count);
        }
    });
    same(request('ann', $count), 41);
    same(left('ann_LOCK'), -2);
    is_left(request('ann', fn () => left('ann_LOCK')), 200);
});

/** Somebody else has the lock now. */
function take_lock(): void
{
    store()->select(1);
    store()->set('app:ann_LOCK', 'somebody else', 200);
    store()->select(0);
}

proves('what is not locked, or not any more, is not written', function () use ($count) {
    ini_set('redis.session.lock_retries', '2');
    take_lock();
    $refusal = refused(fn () => request('ann', $count));
    same($refusal, 'session_start(): Acquire of session lock was not successful');
    session_abort();
    store()->flushAll();
    $refusal = refused(fn () => request('ann', function () use ($count) {
        $count();
        take_lock();
    }));
    same($refusal, 'session_write_close(): Failed to refresh session lock');
    session_abort();
    same(kept('ann'), false);
    is_left(left('ann_LOCK'), 200);
});
