"""What the programs here share: where the store is, and how to lose it."""

import faulthandler
import os
import socket
import sys
import threading
import time
import unittest

import redis

SOCK = os.environ["STORE_SOCK"]
URL = f"unix://{SOCK}"


class Case(unittest.TestCase):
    """Begins with an empty store, and a client that looks into it."""

    def setUp(self):
        self.store = redis.Redis(unix_socket_path=SOCK, decode_responses=True)
        self.addCleanup(self.store.close)
        self.store.flushall()

    def assert_left(self, left, of):
        """Whether that is left of a time on a machine that has something else to do."""
        self.assert_within(left, 0.8 * of, of)

    def assert_within(self, value, least, most):
        self.assertGreaterEqual(value, least)
        self.assertLessEqual(value, most)


class AsyncCase(Case, unittest.IsolatedAsyncioTestCase):
    pass


def until(what, condition):
    """Waits until the condition gives something true, and gives it."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError(f"in vain: {what}")


class Cuttable:
    """Serves a path that leads to the store and whose connections can be cut."""

    count = 0

    def __init__(self, case):
        Cuttable.count += 1
        self.path = f"{SOCK}.{os.getpid()}.{Cuttable.count}"
        self.streams = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        case.addCleanup(self.end)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            store = socket.socket(socket.AF_UNIX)
            store.connect(SOCK)
            self.streams += [client, store]
            for source, sink in [(client, store), (store, client)]:
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while part := source.recv(1 << 16):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        for stream in self.streams:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.streams.clear()

    def end(self):
        self.listener.close()
        self.cut()
        os.unlink(self.path)


def main():
    faulthandler.dump_traceback_later(300, exit=True)
    # What others do not close is theirs.
    result = unittest.main(module="__main__", warnings="ignore", exit=False).result
    sys.exit(not (result.wasSuccessful() and result.testsRun))
