"""Django's own Redis cache and django-redis, and Django's sessions over both."""

import pickle
import time

import django
from django.conf import settings

from store import URL, Case, main, until

settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{URL}?db=1",
        },
        "django_redis": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"{URL}?db=1",
        },
    },
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="tests",
)
django.setup()

from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.core.management import call_command
from django.http import JsonResponse
from django.test import Client, override_settings
from django.urls import path
from importlib import import_module


def login(request, user):
    request.session.cycle_key()
    request.session["user"] = user
    return JsonResponse({})


def count(request):
    session = request.session
    session["count"] = session.get("count", 0) + 1
    return JsonResponse({"user": session.get("user"), "count": session["count"]})


def logout(request):
    request.session.flush()
    return JsonResponse({})


def logged_out_meanwhile(request):
    request.session["count"] = 0
    store = type(request.session)
    store(request.session.session_key).delete()
    return JsonResponse({})


urlpatterns = [
    path("login/<user>", login),
    path("count", count),
    path("logout", logout),
    path("meanwhile", logged_out_meanwhile),
]


class Common:
    """What holds for both caches; `alias` says which."""

    def setUp(self):
        super().setUp()
        self.cache = caches[self.alias]
        self.store.select(1) if hasattr(self.store, "select") else self.store.execute_command("SELECT", 1)

    def ttl(self, key):
        return self.store.ttl(self.cache.make_key(key))

    def test_values_and_their_times(self):
        cache = self.cache
        for value in [1, -7, 1.5, True, None, "text", b"\0\xff", {"a": [1, (2, {3})]}, "x" * 100_000]:
            cache.set("k", value, 100)
            self.assertEqual(cache.get("k"), value)
        self.assert_left(self.ttl("k"), 100)
        cache.set("k", "for ever", None)
        self.assertEqual(self.ttl("k"), -1)
        self.assertIs(cache.touch("k", 50), True)
        self.assert_left(self.ttl("k"), 50)
        self.assertIs(cache.touch("k", None), True)
        self.assertEqual(self.ttl("k"), -1)
        self.assertIs(cache.touch("none", 50), False)
        cache.set("k", "gone at once", 0)
        self.assertIsNone(cache.get("k"))
        cache.set("k", 1)
        self.assert_left(self.ttl("k"), 300)
        cache.set("k", 1, -1)
        self.assertNotIn("k", cache)

    def test_what_is_added_stays(self):
        self.assertIs(self.cache.add("k", "first", 100), True)
        self.assertIs(self.cache.add("k", "second", 200), False)
        self.assertEqual(self.cache.get("k"), "first")
        self.assert_left(self.ttl("k"), 100)
        self.assertEqual(self.cache.get_or_set("k", "third"), "first")
        self.assertEqual(self.cache.get_or_set("l", lambda: "made"), "made")
        self.assertEqual(self.cache.get("none", "default"), "default")

    def test_counters(self):
        self.cache.set("n", 10, 100)
        self.assertEqual(self.cache.incr("n"), 11)
        self.assertEqual(self.cache.incr("n", 31), 42)
        self.assertEqual(self.cache.decr("n", 50), -8)
        self.assertEqual(self.cache.get("n"), -8)
        self.assert_left(self.ttl("n"), 100)
        with self.assertRaises(ValueError):
            self.cache.incr("none")
        self.assertIs(self.cache.has_key("none"), False)

    def test_many_at_once(self):
        many = {f"k{n}": {"n": n} for n in range(200)}
        self.assertFalse(self.cache.set_many(many, 100))
        self.assertEqual(self.cache.get_many([*many, "none"]), many)
        self.assert_left(self.ttl("k199"), 100)
        self.cache.delete_many([f"k{n}" for n in range(1, 200)])
        self.assertEqual(self.cache.get_many(many), {"k0": {"n": 0}})
        self.assertIs(self.cache.delete("k0"), True)
        self.assertIs(self.cache.delete("k0"), False)

    def test_versions(self):
        self.cache.set("k", "old", version=1)
        self.cache.set("k", "new", version=2)
        self.assertEqual([self.cache.get("k"), self.cache.get("k", version=2)], ["old", "new"])
        self.cache.incr_version("k", version=2)
        self.assertEqual(self.cache.get("k", version=3), "new")
        self.assertIsNone(self.cache.get("k", version=2))

    def test_clear_leaves_the_other_databases_alone(self):
        self.store.execute_command("SELECT", 0)
        self.store.set("k", "kept")
        self.cache.set("k", 1)
        self.cache.clear()
        self.assertIsNone(self.cache.get("k"))
        self.assertEqual(self.store.get("k"), "kept")

    def test_it_expires(self):
        self.cache.set("k", 1, 1)
        self.assertEqual(self.cache.get("k"), 1)
        self.store.pexpire(self.cache.make_key("k"), 20)
        until("it expires", lambda: self.cache.get("k") is None)

    def sessions(self, engine):
        """The store of sessions of this name over this cache, and a way to see its keys."""
        settings_of = override_settings(
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
            SESSION_CACHE_ALIAS=self.alias,
            SESSION_COOKIE_AGE=3600,
        )
        settings_of.enable()
        self.addCleanup(settings_of.disable)
        if engine == "cached_db":
            call_command("migrate", verbosity=0)
        return import_module(f"django.contrib.sessions.backends.{engine}").SessionStore

    def keeps_sessions(self, engine):
        Store = self.sessions(engine)
        session = Store()
        session["user"] = "ann"
        session.save()
        name = session.cache_key
        self.assert_left(self.ttl(name), 3600)
        again = Store(session.session_key)
        self.assertEqual(again["user"], "ann")
        again.set_expiry(60)
        again.save()
        self.assert_left(self.ttl(name), 60)
        again.cycle_key()
        self.assertNotEqual(again.session_key, session.session_key)
        self.assertEqual(Store(again.session_key)["user"], "ann")
        self.assertIs(Store().exists(session.session_key), False)
        self.assertEqual(self.ttl(name), -2)
        # Whoever was logged out meanwhile does not come back.
        late = Store(again.session_key)
        late["user"] = "ann, undead"
        again.flush()
        with self.assertRaises(UpdateError):
            late.save()
        self.assertIs(Store().exists(late.session_key), False)

    def serves_sessions(self, engine):
        self.sessions(engine)
        ann, bob = Client(), Client()
        self.assertEqual(ann.get("/count").json(), {"user": None, "count": 1})
        before = ann.cookies["sessionid"].value
        ann.get("/login/ann")
        self.assertNotEqual(ann.cookies["sessionid"].value, before)
        bob.get("/login/bob")
        self.assertEqual(ann.get("/count").json(), {"user": "ann", "count": 2})
        self.assertEqual(bob.get("/count").json(), {"user": "bob", "count": 1})
        self.assertEqual(ann.get("/meanwhile").status_code, 400)
        bob.get("/logout")
        self.assertEqual(bob.get("/count").json(), {"user": None, "count": 1})
        # What the store has lost, the other half of cached_db knows.
        self.cache.clear()
        kept = {"cache": {"user": None, "count": 1}, "cached_db": {"user": None, "count": 2}}
        self.assertEqual(bob.get("/count").json(), kept[engine])

    def test_sessions_in_the_cache(self):
        self.keeps_sessions("cache")

    def test_sessions_in_the_cache_and_the_database(self):
        self.keeps_sessions("cached_db")

    def test_a_site_with_its_sessions_in_the_cache(self):
        self.serves_sessions("cache")

    def test_a_site_with_its_sessions_in_the_cache_and_the_database(self):
        self.serves_sessions("cached_db")


class Django(Common, Case):
    alias = "default"


class DjangoRedis(Common, Case):
    alias = "django_redis"

    def test_more_than_django_has(self):
        cache = self.cache
        cache.set("k", 1, 100)
        self.assert_left(cache.ttl("k"), 100)
        self.assert_left(cache.pttl("k"), 100_000)
        self.assertEqual([cache.ttl("none"), cache.pttl("none")], [0, 0])
        self.assertIs(cache.persist("k"), True)
        self.assertIsNone(cache.ttl("k"))
        self.assertIs(cache.pexpire("k", 50_000), True)
        self.assert_left(cache.ttl("k"), 50)
        self.assertIs(cache.expire_at("k", int(time.time()) + 20_000), True)
        self.assert_left(cache.ttl("k"), 20_000)
        self.assertIs(cache.set("k", 2, nx=True), False)
        self.assertIs(cache.set("l", 2, timeout=10, nx=True), True)
        for n in range(150):
            cache.set(f"user:{n}", n)
        self.assertEqual(sorted(cache.keys("user:1?")), [f"user:1{n}" for n in range(10)])
        self.assertEqual(set(cache.iter_keys("user:*", itersize=10)), {f"user:{n}" for n in range(150)})
        self.assertEqual(cache.delete_pattern("user:*", itersize=10), 150)
        self.assertEqual(cache.get("k"), 1)
        self.assertEqual(cache.incr("none", ignore_key_check=True), 1)
        raw = cache.client.get_client().get(cache.make_key("k"))
        self.assertIn(raw, [b"1", pickle.dumps(1)])

    def test_its_lock(self):
        with self.cache.lock("lock", timeout=100):
            self.assertFalse(self.cache.lock("lock", blocking_timeout=0.02).acquire())
        self.assertTrue(self.cache.lock("lock", timeout=100).acquire(blocking=False))


if __name__ == "__main__":
    main()
