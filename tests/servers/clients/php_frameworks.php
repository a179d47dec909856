<?php
// Libraries over phpredis and Predis: Symfony's sessions and cache, Laravel's cache, locks, limiters
// and sessions.
declare(strict_types=1);
require 'store.php';
require 'Predis/autoload.php';
require 'Symfony/Component/HttpFoundation/autoload.php';
require 'Symfony/Component/Cache/autoload.php';
require 'Illuminate/Redis/autoload.php';
require 'Illuminate/Cache/autoload.php';
require 'Illuminate/Session/autoload.php';

use Illuminate\Cache\CacheManager;
use Illuminate\Cache\RateLimiter;
use Illuminate\Cache\RedisStore;
use Illuminate\Cache\Repository;
use Illuminate\Container\Container;
use Illuminate\Contracts\Redis\LimiterTimeoutException;
use Illuminate\Redis\RedisManager;
use Illuminate\Session\CacheBasedSessionHandler;
use Illuminate\Session\Store as LaravelSession;
use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\HttpFoundation\Session\Storage\Handler\RedisSessionHandler;

$predis = fn (string $path = SOCK) => new Predis\Client(['scheme' => 'unix', 'path' => $path]);
$phpredis = function () {
    $client = new Redis();
    $client->connect(SOCK);
    return $client;
};

proves('Predis: values, transactions and conflicts', function () use ($predis) {
    [$c, $other] = [$predis(), $predis()];
    same((string) $c->set('k', 'v', 'EX', 100, 'NX'), 'OK');
    same($c->set('k', 'w', 'NX'), null);
    same([$c->get('k'), $c->get('none')], ['v', null]);
    is_left($c->ttl('k'), 100);
    same($c->mget(['k', 'none']), ['v', null]);
    $c->hmset('h', ['a' => 1, 'b' => 2]);
    same($c->hgetall('h'), ['a' => '1', 'b' => '2']);
    same(refused(fn () => $c->incr('h')), 'WRONGTYPE Operation against a key holding the wrong kind of value');
    $answers = $c->pipeline(function ($pipe) {
        for ($n = 0; $n < 200; $n++) {
            $pipe->incr('n');
        }
    });
    same(end($answers), 200);
    $disturb = true;
    $add = function ($transaction) use ($other, &$disturb) {
        $value = (int) $transaction->get('n');
        if ($disturb) {
            $disturb = false;
            $other->incr('n');
        }
        $transaction->multi();
        $transaction->set('n', $value + 10);
    };
    $c->transaction(['cas' => true, 'watch' => 'n', 'retry' => 2], $add);
    same($c->get('n'), '211');
    $disturb = true;
    $once = fn () => $c->transaction(['cas' => true, 'watch' => 'n', 'retry' => 0], $add);
    same(str_contains(refused($once), 'aborted'), true);
    same($c->get('n'), '212');
    $found = iterator_to_array(new Predis\Collection\Iterator\Keyspace($c, '[hk]'), false);
    sort($found);
    same($found, ['h', 'k']);
    same($c->eval('return redis.call("incrby", KEYS[1], ARGV[1])', 1, 'n', 8), 220);
});

proves('Predis: messages', function () use ($predis) {
    together(2, function (int $n) use ($predis) {
        if ($n === 1) {
            until('it is heard', fn () => store()->publish('news', 'hello'));
            return;
        }
        $loop = $predis()->pubSubLoop(['subscribe' => 'news']);
        foreach ($loop as $message) {
            if ($message->kind === 'message') {
                same([$message->channel, $message->payload], ['news', 'hello']);
                $loop->unsubscribe();
            }
        }
    });
});

proves('Predis: a lost connection is told, and made anew', function () use ($predis) {
    [$path, $cut] = cuttable();
    $c = $predis($path);
    $c->set('k', 'v');
    $cut();
    $ask = function () use ($c) {
        try {
            return $c->get('k');
        } catch (Predis\Connection\ConnectionException) {
            return null;
        }
    };
    until('it is told', fn () => $ask() === null);
    same(until('it answers', $ask), 'v');
});

foreach (['Predis' => $predis, 'phpredis' => $phpredis] as $under => $connect) {
    proves("Symfony's sessions over $under", function () use ($connect) {
        $handler = new RedisSessionHandler($connect(), ['prefix' => 'app:', 'ttl' => 3600]);
        $handler->open('', 'PHPSESSID');
        same($handler->read('ann'), '');
        same($handler->write('ann', 'user|s:3:"ann";'), true);
        same($handler->read('ann'), 'user|s:3:"ann";');
        is_left(store()->ttl('app:ann'), 3600);
        store()->expire('app:ann', 100);
        same($handler->updateTimestamp('ann', 'user|s:3:"ann";'), true);
        is_left(store()->ttl('app:ann'), 3600);
        same($handler->destroy('ann'), true);
        same([$handler->read('ann'), store()->exists('app:ann')], ['', 0]);
    });

    proves("Symfony's cache over $under", function () use ($connect) {
        $cache = new RedisAdapter($connect(), 'app', 100);
        $made = 0;
        $make = function ($item) use (&$made) {
            $item->expiresAfter(50);
            return ['made' => ++$made];
        };
        same([$cache->get('k', $make), $cache->get('k', $make)], [['made' => 1], ['made' => 1]]);
        is_left(store()->ttl(store()->keys('*k')[0]), 50);
        foreach (['a', 'b'] as $key) {
            $cache->saveDeferred($cache->getItem($key)->set("value of $key"));
        }
        same($cache->commit(), true);
        $values = array_map(fn ($item) => $item->get(), iterator_to_array($cache->getItems(['a', 'b', 'none'])));
        same($values, ['a' => 'value of a', 'b' => 'value of b', 'none' => null]);
        same([$cache->deleteItems(['a', 'k']), $cache->hasItem('a'), $cache->hasItem('b')], [true, false, true]);
        store()->set('other', 'kept');
        same($cache->clear(), true);
        same(store()->keys('*'), ['other']);
    });

    $manager = function () use ($under) {
        $unix = $under === 'Predis'
            ? ['scheme' => 'unix', 'path' => SOCK]
            : ['host' => SOCK, 'port' => 0];
        return new RedisManager(null, strtolower($under), ['default' => $unix + ['database' => 1]]);
    };
    $laravel = fn () => new Repository(new RedisStore($manager(), 'app'));

    proves("Laravel's cache over $under", function () use ($laravel) {
        $cache = $laravel();
        $left = function (string $key) {
            store()->select(1);
            $left = store()->ttl("app:$key");
            store()->select(0);
            return $left;
        };
        same($cache->put('k', ['a' => [1, null]], 100), true);
        same($cache->get('k'), ['a' => [1, null]]);
        is_left($left('k'), 100);
        same([$cache->add('k', 1, 50), $cache->add('l', 1, 50)], [false, true]);
        same([$cache->increment('l', 41), $cache->decrement('l')], [42, 41]);
        is_left($left('l'), 50);
        same($cache->putMany(['a' => 1, 'b' => 'two'], 100), true);
        $many = $cache->many(['a', 'none', 'b']);
        same([(int) $many['a'], $many['none'], $many['b']], [1, null, 'two']);
        same([$cache->forever('e', 'ever'), $left('e')], [true, -1]);
        same($cache->remember('m', 100, fn () => 'made'), 'made');
        same($cache->remember('m', 100, fn () => 'again'), 'made');
        same([$cache->pull('m'), $cache->has('m'), $cache->forget('m')], ['made', false, false]);
        store()->set('other', 'kept');
        same([$cache->flush(), $cache->get('k'), store()->get('other')], [true, null, 'kept']);
    });

    proves("Laravel's locks over $under", function () use ($laravel) {
        $cache = $laravel();
        $lock = $cache->lock('lock', 200);
        same([$lock->get(), $cache->lock('lock', 200)->get()], [true, false]);
        same($cache->lock('lock', 200)->release(), false);
        same($cache->restoreLock('lock', $lock->owner())->release(), true);
        same($cache->lock('lock', 200)->get(fn () => 'done'), 'done');
        // Whoever waits gets it.
        together(3, function () use ($laravel) {
            $cache = $laravel();
            for ($n = 0; $n < 3; $n++) {
                $cache->lock('lock', 200)->betweenBlockedAttemptsSleepFor(5)->block(15, function () use ($cache) {
                    $cache->forever('n', $cache->get('n', 0) + 1);
                });
            }
        });
        same((int) $cache->get('n'), 9);
    });

    proves("Laravel's limiters over $under", function () use ($laravel, $manager) {
        $limiter = new RateLimiter($laravel());
        $passed = fn () => $limiter->attempt('ann', 2, fn () => true, 100);
        same([$passed(), $passed(), $passed()], [true, true, false]);
        is_left($limiter->availableIn('ann'), 100);
        $limiter->clear('ann');
        same($passed(), true);
        $redis = $manager()->connection();
        $throttle = fn () => $redis->throttle('t')->block(0)->allow(2)->every(60)->then(fn () => 'in', fn () => 'out');
        same([$throttle(), $throttle(), $throttle()], ['in', 'in', 'out']);
        $funnel = fn ($inside) => $redis->funnel('f')->block(0)->limit(1)->releaseAfter(60)->then($inside, fn () => 'out');
        same($funnel(fn () => $funnel(fn () => 'in')), 'out');
        same($funnel(fn () => 'in'), 'in');
    });

    proves("Laravel's sessions over $under", function () use ($laravel) {
        $begin = function (?string $id = null) use ($laravel) {
            $session = new LaravelSession('app', new CacheBasedSessionHandler($laravel(), 60), $id);
            $session->start();
            return $session;
        };
        $session = $begin();
        $session->put('user', 'ann');
        $session->save();
        store()->select(1);
        is_left(store()->ttl('app:' . $session->getId()), 3600);
        $again = $begin($session->getId());
        same($again->get('user'), 'ann');
        $again->regenerate(true);
        $again->save();
        same(store()->keys('*'), ['app:' . $again->getId()]);
        $again = $begin($again->getId());
        same($again->get('user'), 'ann');
        $again->invalidate();
        $again->save();
        same($begin($again->getId())->get('user'), null);
        store()->select(0);
    });
}
