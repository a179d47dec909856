"""Rate limits and locks that are scripts: limits, Flask-Limiter, fastapi-limiter, aioredlock, pottery."""

import threading
import time

import limits
import limits.aio
import redis
import redis.asyncio
from aioredlock import Aioredlock, LockError
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from fastapi_limiter import FastAPILimiter
from fastapi_limiter.depends import RateLimiter
from flask import Flask
from flask_limiter import Limiter
from pottery import Redlock, ReleaseUnlockedLock

from store import SOCK, URL, AsyncCase, Case, main, until


class Limits(Case):
    def test_a_fixed_window(self):
        storage = limits.storage.storage_from_string(f"redis+{URL}")
        self.assertTrue(storage.check())
        limiter = limits.strategies.FixedWindowRateLimiter(storage)
        item = limits.parse("5/hour")
        self.assertEqual([limiter.hit(item, "ann") for _ in range(7)], [True] * 5 + [False] * 2)
        self.assertIs(limiter.test(item, "ann"), False)
        self.assertIs(limiter.hit(item, "bob", cost=5), True)
        self.assertIs(limiter.hit(item, "bob"), False)
        stats = limiter.get_window_stats(item, "ann")
        self.assertEqual(stats.remaining, 0)
        self.assert_left(stats.reset_time - time.time(), 3601)
        limiter.clear(item, "ann")
        self.assertIs(limiter.hit(item, "ann"), True)
        self.assertEqual(storage.reset(), 2)
        self.assertEqual(self.store.dbsize(), 0)

    def test_a_sliding_window(self):
        storage = limits.storage.storage_from_string(f"redis+{URL}")
        limiter = limits.strategies.SlidingWindowCounterRateLimiter(storage)
        item = limits.parse("5/hour")
        self.assertEqual([limiter.hit(item, "ann") for _ in range(7)], [True] * 5 + [False] * 2)
        self.assertEqual(limiter.get_window_stats(item, "ann").remaining, 0)
        # Half an hour later, as its two counters would be seen then.
        [current] = [key for key in self.store.keys() if self.store.get(key) == "5"]
        self.store.pexpire(current, 1_800_000)
        self.assert_within(limiter.get_window_stats(item, "ann").remaining, 2, 3)
        self.assertEqual([limiter.hit(item, "ann") for _ in range(4)].count(True), 3)

    def test_a_short_window_ends(self):
        storage = limits.storage.storage_from_string(f"redis+{URL}")
        limiter = limits.strategies.FixedWindowRateLimiter(storage)
        item = limits.parse("1/second")
        self.assertIs(limiter.hit(item, "ann"), True)
        until("the window ends", lambda: limiter.hit(item, "ann"))

    def test_many_threads_share_one_limit(self):
        item, passed = limits.parse("20/hour"), []

        def ask():
            storage = limits.storage.storage_from_string(f"redis+{URL}")
            limiter = limits.strategies.FixedWindowRateLimiter(storage)
            passed.extend(n for n in range(20) if limiter.hit(item, "ann"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(passed), 20)


class AsyncLimits(AsyncCase):
    async def test_windows(self):
        storage = limits.storage.storage_from_string(f"async+redis+{URL}", implementation="redispy")
        item = limits.parse("3/hour")
        for strategy in [
            limits.aio.strategies.FixedWindowRateLimiter,
            limits.aio.strategies.SlidingWindowCounterRateLimiter,
        ]:
            limiter = strategy(storage)
            hits = [await limiter.hit(item, strategy.__name__) for _ in range(4)]
            self.assertEqual(hits, [True, True, True, False])
            await limiter.clear(item, strategy.__name__)
            self.assertIs(await limiter.hit(item, strategy.__name__), True)


class FlaskLimiter(Case):
    def test_limits_a_site(self):
        app = Flask(__name__)
        limiter = Limiter(
            lambda: "everybody", app=app, storage_uri=f"redis+{URL}", headers_enabled=True, default_limits=["2/hour"]
        )
        app.get("/")(lambda: "welcome")
        with app.test_client() as visitor:
            answers = [visitor.get("/") for _ in range(3)]
        self.assertEqual([answer.status_code for answer in answers], [200, 200, 429])
        self.assertEqual([answer.headers["X-RateLimit-Remaining"] for answer in answers], ["1", "0", "0"])
        limiter.reset()


class FastApiLimiter(Case):
    def test_limits_a_site(self):
        app = FastAPI()

        @app.on_event("startup")
        async def start():
            await FastAPILimiter.init(redis.asyncio.Redis(unix_socket_path=SOCK))

        @app.get("/", dependencies=[Depends(RateLimiter(times=2, seconds=3600))])
        async def index():
            return "welcome"

        with TestClient(app) as visitor:
            self.assertEqual([visitor.get("/").status_code for _ in range(2)], [200, 200])
            refused = visitor.get("/")
        self.assertEqual(refused.status_code, 429)
        self.assert_left(int(refused.headers["Retry-After"]), 3600)
        [name] = self.store.keys()
        self.assertEqual(self.store.get(name), "2")


class Locks(AsyncCase):
    async def test_aioredlock(self):
        manager = Aioredlock([SOCK], retry_count=1)
        lock = await manager.lock("lock", lock_timeout=100)
        self.assertTrue(lock.valid)
        self.assert_left(self.store.pttl("lock"), 100_000)
        with self.assertRaises(LockError):
            await manager.lock("lock")
        await manager.extend(lock, lock_timeout=500)
        self.assert_left(self.store.pttl("lock"), 500_000)
        await manager.unlock(lock)
        self.assertFalse(self.store.exists("lock"))
        await manager.destroy()

    def test_pottery(self):
        masters = {redis.Redis(unix_socket_path=SOCK)}
        lock = Redlock(key="k", masters=masters, auto_release_time=100)
        other = Redlock(key="k", masters=masters, auto_release_time=100)
        self.assertIs(lock.acquire(blocking=False), True)
        self.assert_left(lock.locked(), 100)
        self.assertIs(other.acquire(blocking=False), False)
        self.assertEqual(other.locked(), 0)
        self.store.pexpire("redlock:k", 20_000)
        lock.extend()
        self.assert_left(self.store.pttl("redlock:k"), 100_000)
        lock.release()
        with self.assertRaises(ReleaseUnlockedLock):
            lock.release()
        self.assertFalse(self.store.exists("redlock:k"))


if __name__ == "__main__":
    main()
