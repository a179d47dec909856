"""redis-py, in both versions of the protocol."""

import threading
import time

import redis
from redis.exceptions import LockError, LockNotOwnedError, ResponseError, WatchError

from store import SOCK, URL, Case, Cuttable, main, until


class Sync:
    """What holds in both versions."""

    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def connect(self, path=SOCK, **options):
        options = {"decode_responses": True, "protocol": self.protocol} | options
        client = redis.Redis(unix_socket_path=path, **options)
        self.addCleanup(client.close)
        return client

    def test_strings(self):
        c = self.client
        self.assertIs(c.set("k", "v", ex=100), True)
        self.assertEqual(c.get("k"), "v")
        self.assert_left(c.pttl("k"), 100_000)
        self.assertIsNone(c.set("k", "w", nx=True))
        self.assertIsNone(c.set("none", "w", xx=True))
        self.assertEqual(c.set("k", "w", get=True, keepttl=True), "v")
        self.assert_left(c.ttl("k"), 100)
        self.assertEqual(c.getex("k", px=50_000), "w")
        self.assert_left(c.ttl("k"), 50)
        self.assertIs(c.persist("k"), True)
        self.assertEqual([c.ttl("k"), c.ttl("none")], [-1, -2])
        self.assertIs(c.expire("k", 10, gt=True), False)
        self.assertIs(c.expire("k", 10, nx=True), True)
        self.assertIs(c.expireat("k", int(time.time()) - 10), True)
        self.assertIsNone(c.get("k"))
        self.assertIs(c.mset({"a": 1, "b": 2}), True)
        self.assertEqual(c.mget("a", "none", "b"), ["1", None, "2"])
        self.assertIs(c.msetnx({"b": 3, "c": 3}), False)
        self.assertEqual(c.exists("a", "b", "c"), 2)
        self.assertEqual(c.incr("a", 41), 42)
        self.assertEqual(c.decr("a"), 41)
        self.assertEqual(c.incrbyfloat("a", 0.5), 41.5)
        self.assertEqual(c.append("b", "34"), 3)
        self.assertEqual(c.getrange("b", 1, -1), "34")
        self.assertEqual(c.getdel("b"), "234")
        self.assertIs(c.rename("a", "d"), True)
        self.assertIs(c.copy("d", "e"), True)
        self.assertEqual(sorted(c.keys("[a-e]")), ["d", "e"])
        self.assertEqual([c.type("d"), c.type("none")], ["string", "none"])
        self.assertEqual(c.delete("d", "e", "none"), 2)
        self.assertEqual(c.unlink("d"), 0)
        self.assertEqual(c.dbsize(), 0)
        with self.assertRaisesRegex(ResponseError, "^value is not an integer or out of range$"):
            c.set("k", "text")
            c.incr("k")
        with self.assertRaisesRegex(ResponseError, "^invalid expire time in 'set' command$"):
            c.set("k", "v", ex=0)

    def test_bytes_are_bytes(self):
        c = self.connect(decode_responses=False)
        value = bytes(range(256)) * 4096
        c.set(b"\0\r\n\xff", value)
        self.assertEqual(c.get(b"\0\r\n\xff"), value)
        self.assertEqual(c.keys(), [b"\0\r\n\xff"])
        c.set("", "")
        self.assertEqual(c.get(""), b"")

    def test_what_expires_is_gone(self):
        self.client.set("brief", 1, px=60)
        self.assertEqual(self.client.get("brief"), "1")
        until("it expires", lambda: self.client.get("brief") is None)

    def test_databases_are_apart(self):
        one, url = self.connect(db=1), redis.from_url(f"{URL}?db=2&protocol={self.protocol}")
        self.addCleanup(url.close)
        for n, client in enumerate([self.client, one, url]):
            client.set("k", n)
        self.assertEqual([self.client.get("k"), one.get("k"), url.get("k")], ["0", "1", b"2"])
        one.flushdb()
        self.assertEqual([self.client.get("k"), one.get("k"), url.get("k")], ["0", None, b"2"])

    def test_pipelines(self):
        with self.client.pipeline(transaction=False) as pipe:
            for n in range(1000):
                pipe.set(f"k{n}", n)
                pipe.incr("sum", n)
            answers = pipe.execute()
        self.assertEqual(answers[-1], sum(range(1000)))
        with self.client.pipeline(transaction=False) as pipe:
            pipe.get("k7").hget("k7", "f").get("k8")
            seven, wrong, eight = pipe.execute(raise_on_error=False)
            self.assertEqual([seven, eight], ["7", "8"])
            self.assertRegex(str(wrong), "^WRONGTYPE|Operation against a key")
            pipe.get("k7").hget("k7", "f")
            with self.assertRaisesRegex(ResponseError, r"Command # 2 \(HGET k7 f\) of pipeline"):
                pipe.execute()

    def test_transactions(self):
        pipe = self.client.pipeline()
        self.assertEqual(pipe.set("a", 1).incr("a").get("none").execute(), [True, 2, None])
        # A command that fails neither undoes the others nor keeps them from being done.
        pipe.set("a", "text").incr("a").set("b", 1)
        done = pipe.execute(raise_on_error=False)
        self.assertIsInstance(done[1], ResponseError)
        self.assertEqual(self.client.mget("a", "b"), ["text", "1"])
        # One that cannot even be asked for keeps all from being done.
        pipe.set("b", 2).execute_command("NO SUCH COMMAND")
        with self.assertRaisesRegex(ResponseError, "unknown command"):
            pipe.execute()
        self.assertEqual(self.client.get("b"), "1")

    def test_a_conflict_is_told_and_can_be_tried_again(self):
        other = self.connect()
        self.client.set("n", 1)
        with self.client.pipeline() as pipe:
            pipe.watch("n")
            value = int(pipe.get("n"))
            other.set("n", 10)
            pipe.multi()
            pipe.set("n", value + 1)
            with self.assertRaises(WatchError):
                pipe.execute()
            self.assertEqual(self.client.get("n"), "10")
            pipe.watch("n")
            pipe.unwatch()
            other.set("n", 11)
            pipe.multi()
            self.assertEqual(pipe.get("n").execute(), ["11"])
        interferes = iter([True, True, False])

        def add(pipe):
            value = int(pipe.get("n"))
            if next(interferes):
                other.incr("n")
            pipe.multi()
            pipe.set("n", value + 100)

        self.client.transaction(add, "n")
        self.assertEqual(self.client.get("n"), "113")

    def test_nothing_is_lost_when_many_count(self):
        def count():
            client = self.connect()

            def add(pipe):
                value = int(pipe.get("n") or 0)
                pipe.multi()
                pipe.set("n", value + 1)

            for _ in range(25):
                client.transaction(add, "n")

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.client.get("n"), "100")

    def test_locks(self):
        c = self.client
        lock = c.lock("lock", timeout=100)
        self.assertTrue(lock.acquire(blocking=False))
        self.assert_left(c.pttl("lock"), 100_000)
        self.assertTrue(lock.locked() and lock.owned())
        other = self.connect().lock("lock", timeout=100)
        self.assertFalse(other.acquire(blocking=False))
        self.assertFalse(other.acquire(blocking_timeout=0.05))
        with self.assertRaises(LockError):
            other.release()
        lock.extend(200)
        self.assert_left(c.pttl("lock"), 300_000)
        lock.extend(50, replace_ttl=True)
        self.assert_left(c.pttl("lock"), 50_000)
        lock.reacquire()
        self.assert_left(c.pttl("lock"), 100_000)
        lock.release()
        self.assertFalse(c.exists("lock"))
        with other:
            self.assertTrue(other.owned())
            c.set("lock", "somebody else")
            for refused in [other.reacquire, lambda: other.extend(5)]:
                with self.assertRaises(LockNotOwnedError):
                    refused()
            c.set("lock", other.local.token)
        self.assertFalse(c.exists("lock"))
        # Whoever waits gets it when it expires.
        self.assertTrue(c.lock("lock", timeout=0.05).acquire())
        self.assertTrue(other.acquire(blocking_timeout=10))

    def test_a_lock_lets_one_in_at_a_time(self):
        def count():
            client = self.connect()
            for _ in range(10):
                with client.lock("lock", timeout=200, sleep=0.001):
                    client.set("n", int(client.get("n") or 0) + 1)

        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.client.get("n"), "30")

    def test_scripts(self):
        script = self.client.register_script(
            "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
        )
        self.client.set("k", "v")
        self.client.script_flush()
        self.assertEqual(script(keys=["k"], args=["w"]), 0)
        self.assertEqual(self.client.script_exists(script.sha, "0" * 40), [True, False])
        with self.client.pipeline() as pipe:
            script(keys=["k"], args=["v"], client=pipe)
            pipe.exists("k")
            self.assertEqual(pipe.execute(), [1, 0])
        with self.assertRaises(redis.exceptions.NoScriptError):
            self.client.evalsha("0" * 40, 0)

    def test_messages(self):
        with self.client.pubsub() as listener:
            listener.subscribe("news", **{"sport": print})
            listener.psubscribe("w[ae]*")
            confirmed = [listener.get_message(timeout=10) for _ in range(3)]
            self.assertEqual([each["data"] for each in confirmed], [1, 2, 3])
            self.assertEqual([each["type"] for each in confirmed], ["subscribe"] * 2 + ["psubscribe"])
            self.assertEqual(self.client.publish("news", "hello"), 1)
            self.assertEqual(self.client.publish("weather", "fine"), 1)
            self.assertEqual(self.client.publish("other", "lost"), 0)
            hello, fine = [listener.get_message(timeout=10) for _ in range(2)]
            self.assertEqual(hello, {"type": "message", "pattern": None, "channel": "news", "data": "hello"})
            self.assertEqual(fine, {"type": "pmessage", "pattern": "w[ae]*", "channel": "weather", "data": "fine"})
            self.assertEqual(sorted(self.client.pubsub_channels()), ["news", "sport"])
            self.assertEqual(self.client.pubsub_numsub("news", "none"), [("news", 1), ("none", 0)])
            self.assertEqual(self.client.pubsub_numpat(), 1)
            if self.protocol == 2:  # In the other redis-py does not know an answer from a message.
                listener.ping("alive")
                pong = listener.get_message(timeout=10)
                self.assertEqual([pong["type"], pong["data"]], ["pong", "alive"])
            listener.unsubscribe("news")
            self.assertEqual(listener.get_message(timeout=10)["type"], "unsubscribe")
            self.assertEqual(self.client.publish("news", "late"), 0)

    def test_messages_come_in_order_to_a_thread(self):
        got, listener = [], self.client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(numbers=lambda message: got.append(int(message["data"])))
        thread = listener.run_in_thread(sleep_time=0.05, daemon=True)
        try:
            until("it is subscribed", lambda: self.client.publish("numbers", 0))
            for n in range(1, 200):
                self.client.publish("numbers", n)
            until("all have come", lambda: len(got) >= 200)
            self.assertEqual(got, list(range(200)))
        finally:
            thread.stop()
            thread.join()

    def test_what_happens_to_keys_is_told(self):
        self.client.config_set("notify-keyspace-events", "Exg")
        try:
            with self.client.pubsub(ignore_subscribe_messages=True) as listener:
                listener.psubscribe("__keyevent@0__:*")
                listener.get_message(timeout=10)
                self.client.set("k", 1, px=20)
                self.client.set("l", 1)
                self.client.delete("l")
                told = set()

                def listen():
                    message = listener.get_message(timeout=0.1)
                    if message:
                        told.add((message["channel"].split(":")[1], message["data"]))
                    self.client.get("k")
                    return told >= {("del", "l"), ("expired", "k")}

                until("both are told", listen)
        finally:
            self.client.config_set("notify-keyspace-events", "")

    def test_walks(self):
        c = self.client
        expected = {f"user:{n}" for n in range(300)}
        with c.pipeline(transaction=False) as pipe:
            for key in expected:
                pipe.set(key, 1).set(f"other:{key}", 1)
            pipe.hset("user:hash", "f", 1).execute()
        self.assertEqual(set(c.scan_iter(match="user:*", _type="string")), expected)
        self.assertEqual(set(c.scan_iter(match="user:*", count=7)), expected | {"user:hash"})
        self.assertEqual(list(c.scan_iter(_type="hash")), ["user:hash"])
        for key in c.scan_iter(match="user:*"):
            c.delete(key)
        self.assertEqual(c.dbsize(), 300)

    def test_hashes(self):
        c = self.client
        self.assertEqual(c.hset("h", mapping={"a": 1, "b": 2}), 2)
        self.assertEqual(c.hset("h", "c", 3), 1)
        self.assertEqual(c.hsetnx("h", "c", 4), 0)
        self.assertEqual(c.hgetall("h"), {"a": "1", "b": "2", "c": "3"})
        self.assertEqual(c.hgetall("none"), {})
        self.assertEqual(c.hget("h", "a"), "1")
        self.assertEqual(c.hmget("h", "a", "none"), ["1", None])
        self.assertEqual(c.hincrby("h", "a", 9), 10)
        self.assertEqual(c.hincrbyfloat("h", "a", 0.5), 10.5)
        self.assertEqual([c.hlen("h"), c.hstrlen("h", "a")], [3, 4])
        self.assertIs(c.hexists("h", "a"), True)
        self.assertEqual(c.hdel("h", "a", "none"), 1)
        self.assertEqual([c.hkeys("h"), c.hvals("h")], [["b", "c"], ["2", "3"]])
        self.assertEqual(dict(c.hscan_iter("h", match="*")), {"b": "2", "c": "3"})
        self.assertIs(c.expire("h", 100), True)
        c.hset("h", "d", 4)
        self.assert_left(c.ttl("h"), 100)
        with self.assertRaisesRegex(ResponseError, "wrong kind of value"):
            c.get("h")
        self.assertEqual(c.hdel("h", "b", "c", "d"), 3)
        self.assertIs(c.exists("h"), 0)

    def test_who_is_there(self):
        c = self.client
        self.assertIs(c.ping(), True)
        self.assertEqual(c.echo("hello"), "hello")
        self.assertIs(c.client_setname("me"), True)
        self.assertEqual(c.client_getname(), "me")
        mine = next(each for each in c.client_list() if each["id"] == str(c.client_id()))
        self.assertEqual([mine["name"], mine["db"]], ["me", "0"])
        self.assertEqual(c.info("server")["redis_version"].split(".")[0], "7")
        self.assertEqual(c.config_get("appendonly"), {"appendonly": "no"})
        seconds, _ = c.time()
        self.assert_within(seconds, int(time.time()) - 20, int(time.time()) + 2)
        c.set("k", "v")
        self.assertEqual(c.object("encoding", "k"), "embstr")
        self.assertGreater(c.memory_usage("k"), 0)
        self.assertIsNone(c.memory_usage("none"))
        self.assertEqual(c.command_count() > 50, True)
        with self.assertRaisesRegex(ResponseError, "unknown command 'NOSUCH', with args beginning with: 'a'"):
            c.execute_command("NOSUCH", "a")

    def test_a_lost_connection_comes_back(self):
        way = Cuttable(self)
        client = self.connect(way.path)
        client.set("k", "v")
        listener = client.pubsub(ignore_subscribe_messages=True)
        self.addCleanup(listener.close)
        listener.subscribe("news")
        until("it is subscribed", lambda: self.store.publish("news", 0))
        way.cut()
        # What is not repeated by itself can be asked again.
        def ask(client):
            try:
                return client.get("k")
            except redis.ConnectionError:
                return None

        self.assertEqual(until("it answers", lambda: ask(client)), "v")

        def listen():
            self.store.publish("news", "after")
            try:
                message = listener.get_message(timeout=0.02)
            except redis.ConnectionError:
                return False
            return message and message["data"] == "after"

        until("it is subscribed again", listen)

    def test_a_pool_is_shared_by_threads(self):
        pool = redis.BlockingConnectionPool(
            connection_class=redis.UnixDomainSocketConnection,
            path=SOCK, protocol=self.protocol, max_connections=3, timeout=20,
        )
        self.addCleanup(pool.disconnect)
        wrong = []

        def ask(name):
            client = redis.Redis(connection_pool=pool)
            for n in range(50):
                client.set(name, n)
                if client.get(name) != b"%d" % n:
                    wrong.append((name, n))

        threads = [threading.Thread(target=ask, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(redis.Redis(connection_pool=pool).mget("t0", "t7"), [b"49", b"49"])


class Resp2(Sync, Case):
    protocol = 2


class Resp3(Sync, Case):
    protocol = 3


if __name__ == "__main__":
    main()
