"""A store with a password."""

import asyncio
import os
import unittest

import redis
import redis.asyncio
from redis.exceptions import AuthenticationError

from store import SOCK, main

SECRET = os.environ["SECRET"]


class Secret(unittest.TestCase):
    def test_it_is_asked_for(self):
        for protocol in (2, 3):
            with redis.Redis(unix_socket_path=SOCK, protocol=protocol) as stranger:
                with self.assertRaises(AuthenticationError):
                    stranger.get("k")
            with redis.Redis(unix_socket_path=SOCK, protocol=protocol, password="wrong") as stranger:
                with self.assertRaises(AuthenticationError):
                    stranger.get("k")
            for user in (None, "default"):
                with redis.Redis(unix_socket_path=SOCK, protocol=protocol, username=user, password=SECRET) as friend:
                    self.assertIs(friend.set("k", protocol), True)
                    self.assertEqual(friend.get("k"), b"%d" % protocol)

    def test_it_is_asked_for_in_asyncio(self):
        async def ask():
            async with redis.asyncio.Redis(unix_socket_path=SOCK, password=SECRET) as friend:
                return await friend.ping()

        self.assertIs(asyncio.run(ask()), True)


if __name__ == "__main__":
    main()
