"""redis-py's asyncio half, in both versions of the protocol."""

import asyncio

import redis.asyncio as redis
from redis.exceptions import ConnectionError, LockNotOwnedError, ResponseError, WatchError

from store import SOCK, AsyncCase, Cuttable, main


class Async:
    """What holds in both versions."""

    def connect(self, path=SOCK, **options):
        options = {"decode_responses": True, "protocol": self.protocol} | options
        client = redis.Redis(unix_socket_path=path, **options)
        self.addAsyncCleanup(client.aclose)
        return client

    async def until(self, what, condition):
        async with asyncio.timeout(15):
            while not (found := await condition()):
                await asyncio.sleep(0.005)
            return found

    async def test_strings_and_hashes(self):
        c = self.connect()
        self.assertIs(await c.set("k", "v", px=100_000), True)
        self.assertIsNone(await c.set("k", "w", nx=True))
        self.assertEqual(await c.get("k"), "v")
        self.assert_left(await c.pttl("k"), 100_000)
        self.assertEqual(await c.set("k", 5, keepttl=True, get=True), "v")
        self.assertEqual(await c.incrby("k", 5), 10)
        self.assert_left(await c.ttl("k"), 100)
        self.assertEqual(await c.mget(["k", "none"]), ["10", None])
        await c.hset("h", mapping={"a": "1", "b": "2"})
        self.assertEqual(await c.hgetall("h"), {"a": "1", "b": "2"})
        self.assertEqual(await c.hincrby("h", "a", 2), 3)
        with self.assertRaises(ResponseError):
            await c.incr("h")
        self.assertEqual(await c.delete("k", "h", "none"), 2)

    async def test_many_tasks_share_a_pool(self):
        c = self.connect()

        async def ask(n):
            await c.set(f"k{n}", n)
            return int(await c.get(f"k{n}"))

        self.assertEqual(await asyncio.gather(*map(ask, range(60))), list(range(60)))

    async def test_transactions_and_conflicts(self):
        c, other = self.connect(), self.connect()
        async with c.pipeline(transaction=True) as pipe:
            done = await pipe.set("n", 1).incr("n").get("none").execute()
            self.assertEqual(done, [True, 2, None])
            await pipe.watch("n")
            value = int(await pipe.get("n"))
            await other.set("n", 10)
            pipe.multi()
            pipe.set("n", value + 1)
            with self.assertRaises(WatchError):
                await pipe.execute()

        async def add():
            async def body(pipe):
                value = int(await pipe.get("n"))
                pipe.multi()
                pipe.set("n", value + 1)

            await c.transaction(body, "n")

        await asyncio.gather(*(add() for _ in range(8)))
        self.assertEqual(await c.get("n"), "18")
        async with c.pipeline(transaction=False) as pipe:
            pipe.get("n").hget("n", "f").get("none")
            first, wrong, last = await pipe.execute(raise_on_error=False)
        self.assertEqual([first, last], ["18", None])
        self.assertIsInstance(wrong, ResponseError)

    async def test_locks(self):
        c, inside = self.connect(), 0

        async def enter():
            nonlocal inside
            async with c.lock("lock", timeout=200, sleep=0.005):
                inside += 1
                self.assertEqual(inside, 1)
                await c.incr("n")
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(10)))
        self.assertEqual(await c.get("n"), "10")
        lock = c.lock("lock", timeout=100)
        await lock.acquire()
        await lock.extend(100)
        self.assert_left(await c.pttl("lock"), 200_000)
        await c.set("lock", "somebody else")
        with self.assertRaises(LockNotOwnedError):
            await lock.release()

    async def test_messages(self):
        c = self.connect()
        async with c.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe("news")
            await listener.psubscribe("w*")

            async def is_heard():
                return await c.publish("news", "hello") and await c.publish("weather", "fine")

            await self.until("it is subscribed", is_heard)
            got = []
            async for message in listener.listen():
                got.append((message["type"], message["channel"], message["data"]))
                if len(got) == 2:
                    break
            self.assertEqual(got, [("message", "news", "hello"), ("pmessage", "weather", "fine")])

    async def test_walks(self):
        c = self.connect()
        async with c.pipeline(transaction=False) as pipe:
            for n in range(200):
                pipe.set(f"user:{n}", n).set(f"other:{n}", n)
            await pipe.execute()
        found = {key async for key in c.scan_iter(match="user:*", count=9)}
        self.assertEqual(found, {f"user:{n}" for n in range(200)})

    async def test_whoever_is_cancelled_does_not_get_the_others_replies(self):
        c = self.connect(single_connection_client=True)
        await c.set("mine", 1)
        for _ in range(20):
            task = asyncio.create_task(c.get("other"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.assertEqual(await c.get("mine"), "1")

    async def test_a_lost_connection_comes_back(self):
        way = Cuttable(self)
        c = self.connect(way.path)
        await c.set("k", "v")
        listener = c.pubsub(ignore_subscribe_messages=True)
        self.addAsyncCleanup(listener.aclose)
        await listener.subscribe("news")
        await listener.get_message(timeout=10)
        way.cut()

        async def ask():
            try:
                return await c.get("k")
            except ConnectionError:
                return None

        self.assertEqual(await self.until("it answers", ask), "v")

        async def listen():
            self.store.publish("news", "after")
            try:
                message = await listener.get_message(timeout=0.02)
            except ConnectionError:
                return False
            return message and message["data"] == "after"

        await self.until("it is subscribed again", listen)


class Resp2(Async, AsyncCase):
    protocol = 2


class Resp3(Async, AsyncCase):
    protocol = 3


if __name__ == "__main__":
    main()
