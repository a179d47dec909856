"""Sessions and caches of Flask and Starlette, and caches of their own: Flask-Session, Flask-Caching,
starsessions, dogpile.cache, aiocache."""

import asyncio
import datetime

import aiocache
import msgspec
import redis
import redis.asyncio
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE
from flask import Flask, jsonify, session
from flask_caching import Cache
from flask_session import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

from store import SOCK, URL, AsyncCase, Case, Cuttable, main, until


class FlaskSession(Case):
    def setUp(self):
        super().setUp()
        self.way = Cuttable(self)
        self.client = redis.Redis(unix_socket_path=self.way.path)
        self.addCleanup(self.client.close)
        app = Flask(__name__)
        app.config.update(
            SESSION_TYPE="redis",
            SESSION_REDIS=self.client,
            PERMANENT_SESSION_LIFETIME=datetime.timedelta(hours=1),
        )
        Session(app)

        @app.get("/login/<user>")
        def login(user):
            app.session_interface.regenerate(session)
            session["user"] = user
            return ""

        @app.get("/count")
        def count():
            session["count"] = session.get("count", 0) + 1
            return jsonify([session.get("user"), session["count"]])

        @app.get("/logout")
        def logout():
            session.clear()
            return ""

        self.app = app

    def test_logs_in_counts_and_logs_out(self):
        ann, bob = self.app.test_client(), self.app.test_client()
        self.assertEqual(ann.get("/count").json, [None, 1])
        [before] = self.store.keys("session:*")
        ann.get("/login/ann")
        [name] = self.store.keys("session:*")
        self.assertNotEqual(name, before)
        bob.get("/login/bob")
        self.assertEqual(ann.get("/count").json, ["ann", 2])
        self.assertEqual(bob.get("/count").json, ["bob", 1])
        self.assert_left(self.store.ttl(name), 3600)
        kept = msgspec.msgpack.decode(self.client.get(name))
        self.assertEqual([kept["user"], kept["count"]], ["ann", 2])
        ann.get("/logout")
        self.assertFalse(self.store.exists(name))
        self.assertEqual(ann.get("/count").json, [None, 1])
        self.assertEqual(bob.get("/count").json, ["bob", 2])

    def test_forgets_in_time(self):
        ann = self.app.test_client()
        ann.get("/login/ann")
        [name] = self.store.keys("session:*")
        self.store.pexpire(name, 10)
        until("it expires", lambda: not self.store.exists(name))
        self.assertEqual(ann.get("/count").json, [None, 1])

    def test_a_lost_connection_loses_no_session(self):
        ann = self.app.test_client()
        ann.get("/login/ann")
        self.assertEqual(ann.get("/count").json, ["ann", 1])
        self.way.cut()
        self.assertEqual(ann.get("/count").json, ["ann", 2])


class FlaskCaching(Case):
    def test_caches(self):
        app = Flask(__name__)
        cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": URL, "CACHE_KEY_PREFIX": "c:"})
        made = []

        @cache.memoize(100)
        def square(n):
            made.append(n)
            return n * n

        with app.app_context():
            self.assertEqual([square(3), square(3), square(4)], [9, 9, 16])
            self.assertEqual(made, [3, 4])
            cache.delete_memoized(square, 3)
            square(3), square(4)
            self.assertEqual(made, [3, 4, 3])
            self.assertIs(cache.add("k", {"a": 1}, timeout=100), True)
            self.assertIs(cache.add("k", {"a": 2}), False)
            self.assertEqual(cache.get("k"), {"a": 1})
            self.assert_left(self.store.ttl("c:k"), 100)
            self.assertTrue(cache.set_many({"a": 1, "b": "two"}))
            self.assertEqual(cache.get_many("a", "b", "none"), [1, "two", None])
            self.assertEqual(cache.cache.inc("n", 5), 5)
            self.assertIs(cache.has("n"), True)
            cache.delete_many("a", "b")
            self.assertEqual(cache.get_dict("a", "k"), {"a": None, "k": {"a": 1}})
            self.store.set("other", "kept")
            cache.clear()
            self.assertEqual(self.store.keys(), ["other"])


class Starsessions(Case):
    def test_logs_in_counts_and_logs_out(self):
        async def login(request):
            request.session["user"] = request.path_params["user"]
            regenerate_session_id(request)
            return JSONResponse(None)

        async def count(request):
            request.session["count"] = request.session.get("count", 0) + 1
            return JSONResponse([request.session.get("user"), request.session["count"]])

        async def logout(request):
            request.session.clear()
            return JSONResponse(None)

        def serve(lifetime):
            store = RedisStore(connection=redis.asyncio.Redis(unix_socket_path=SOCK))
            middleware = [
                Middleware(SessionMiddleware, store=store, lifetime=lifetime, cookie_https_only=False, rolling=True),
                Middleware(SessionAutoloadMiddleware),
            ]
            routes = [Route("/login/{user}", login), Route("/count", count), Route("/logout", logout)]
            return TestClient(Starlette(routes=routes, middleware=middleware))

        with serve(3600) as ann:
            self.assertEqual(ann.get("/count").json(), [None, 1])
            before = self.store.keys()
            ann.get("/login/ann")
            [name] = set(self.store.keys()) - set(before)
            self.store.delete(*before)
            self.assertTrue(name.startswith("starsessions."))
            self.assert_left(self.store.ttl(name), 3600)
            self.store.expire(name, 100)
            self.assertEqual(ann.get("/count").json(), ["ann", 2])
            self.assert_left(self.store.ttl(name), 3600)
            ann.get("/logout")
            self.assertEqual(self.store.keys(), [])
            self.assertEqual(ann.get("/count").json(), [None, 1])
        self.store.flushall()
        with serve(0) as ann:
            ann.get("/login/ann")
            [name] = self.store.keys()
            self.assert_left(self.store.ttl(name), 30 * 86_400)


class Dogpile(Case):
    def test_caches_and_lets_one_make_it(self):
        region = make_region().configure(
            "dogpile.cache.redis",
            expiration_time=3600,
            arguments={
                "url": URL,
                "redis_expiration_time": 7200,
                "distributed_lock": True,
                "thread_local_lock": False,
                "lock_timeout": 200,
            },
        )
        made = []

        @region.cache_on_arguments()
        def square(n):
            made.append(n)
            return n * n

        self.assertEqual([square(3), square(3)], [9, 9])
        self.assertEqual(made, [3])
        square.invalidate(3)
        square(3)
        self.assertEqual(made, [3, 3])
        region.set_multi({"a": 1, "b": [2]})
        self.assert_left(self.store.ttl("a"), 7200)
        self.assertEqual(region.get_multi(["a", "none", "b"]), [1, NO_VALUE, [2]])
        region.delete_multi(["a", "b"])
        self.assertIs(region.get("a"), NO_VALUE)
        with region.backend.get_mutex("k").mutex:
            self.assertFalse(region.backend.get_mutex("k").acquire(wait=False))
        self.assertFalse(self.store.exists("_lockk"))


class Aiocache(AsyncCase):
    def connect(self, **options):
        # It knows no path, but takes a class of pools.
        class Pool(redis.asyncio.ConnectionPool):
            def __init__(self, host, port, db, password, **options):
                options = {key: value for key, value in options.items() if value is not None}
                super().__init__(redis.asyncio.UnixDomainSocketConnection, path=SOCK, db=db, **options)

        cache = aiocache.RedisCache(connection_pool_class=Pool, **options)
        self.addAsyncCleanup(cache.close)
        return cache

    async def test_caches(self):
        cache = self.connect(namespace="main")
        await cache.set("k", {"a": [1, None]}, ttl=100)
        self.assertEqual(await cache.get("k"), {"a": [1, None]})
        self.assert_left(self.store.ttl("main:k"), 100)
        await cache.set("k", 1, ttl=0.05)
        self.assert_within(self.store.pttl("main:k"), -2, 50)
        with self.assertRaises(ValueError):
            await cache.add("l", 1, ttl=100) and await cache.add("l", 2)
        await cache.multi_set([("a", 1), ("b", "two")], ttl=100)
        self.assertEqual(await cache.multi_get(["a", "none", "b"]), [1, None, "two"])
        self.assert_left(self.store.ttl("main:b"), 100)
        self.assertEqual(await cache.increment("a", 41), 42)
        self.assertEqual(await cache.increment("new", -1), -1)
        with self.assertRaises(TypeError):
            await cache.increment("b")
        self.assertTrue(await cache.exists("a"))
        self.assertTrue(await cache.expire("a", ttl=50))
        self.assert_left(self.store.ttl("main:a"), 50)
        self.assertTrue(await cache.expire("a", ttl=0))
        self.assertEqual(self.store.ttl("main:a"), -1)
        self.assertEqual(await cache.delete("a"), 1)
        self.store.set("other", "kept")
        await cache.clear(namespace="main")
        self.assertEqual(self.store.keys(), ["other"])
        self.assertEqual(await cache.raw("get", "other"), "kept")

    async def test_locks(self):
        cache, made = self.connect(), []

        async def make(n):
            async with aiocache.lock.RedLock(cache, "k", lease=200):
                if await cache.get("k") is None:
                    made.append(n)
                    await asyncio.sleep(0.02)
                    await cache.set("k", n)

        await asyncio.gather(*(make(n) for n in range(5)))
        self.assertEqual(len(made), 1)
        self.assertFalse(self.store.exists("k-lock"))
        # The optimistic one: who wrote meanwhile is not overwritten.
        await cache.set("v", "old")
        async with aiocache.lock.OptimisticLock(cache, "v") as lock:
            await lock.cas("new", ttl=100)
        self.assertEqual(await cache.get("v"), "new")
        self.assert_left(self.store.ttl("v"), 100)
        with self.assertRaises(aiocache.lock.OptimisticLockError):
            async with aiocache.lock.OptimisticLock(cache, "v") as lock:
                await cache.set("v", "theirs")
                await lock.cas("mine")
        self.assertEqual(await cache.get("v"), "theirs")


if __name__ == "__main__":
    main()
