"""Visits examples/flask or examples/django: a session lasts, whoever answers and whoever dies."""

import faulthandler
import http.client
import http.cookiejar
import os
import re
import signal
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["URL"]


class Browser:
    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self.open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies)).open

    def get(self):
        self.text = self.open(URL, timeout=20).read().decode()
        return self.text

    def post(self, path, **form):
        token = re.search('name="csrfmiddlewaretoken" value="(.*?)"', self.text)
        form |= {"csrfmiddlewaretoken": token[1]} if token else {}
        self.text = self.open(URL + path, urllib.parse.urlencode(form).encode(), timeout=20).read().decode()
        return self.text

    def session(self):
        return next((each.value for each in self.cookies if each.name in ("session", "sessionid")), None)


class Visit(unittest.TestCase):
    def test_who_has_logged_in_is_known_until_the_logout(self):
        ann = Browser()
        self.assertIn("Log in", ann.get())
        self.assertIsNone(ann.session(), "nothing is kept of who only looks")
        pids, counts = set(), [0]

        def count(text):
            user, visits, pid = re.search(r"<p>(.*), visit (\d+), process (\d+)", text).groups()
            self.assertEqual(user, "&lt;Ann&gt;")
            pids.add(int(pid))
            counts.append(int(visits))

        def until(workers, lost=()):
            deadline = time.monotonic() + 20
            while len(pids) < workers:
                self.assertLess(time.monotonic(), deadline, f"only {pids} answered")
                try:
                    count(ann.get())
                except lost:
                    pass

        count(ann.post("/login", user="<Ann>"))
        until(2)
        self.assertEqual(counts, list(range(len(counts))))
        os.kill(min(pids), signal.SIGKILL)
        # What it had begun to answer is lost with it, counted or not.
        until(3, lost=(urllib.error.URLError, http.client.HTTPException, ConnectionError))
        self.assertEqual(counts, sorted(set(counts)))

        before = ann.session()
        ann.post("/logout")
        self.assertIn("Log in", ann.get())
        self.assertIn("Bob, visit 1", ann.post("/login", user="Bob"))
        self.assertNotEqual(ann.session(), before)

    def test_nobody_can_plant_a_session(self):
        mallory = Browser()
        mallory.get()
        mallory.post("/login", user="Mallory")
        planted = mallory.session()
        self.assertIn("Mallory, visit 2", mallory.get())
        self.assertIn("Carol, visit 1", mallory.post("/login", user="Carol"))
        self.assertNotEqual(mallory.session(), planted)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(120, exit=True)
    result = unittest.main(exit=False).result
    sys.exit(not (result.wasSuccessful() and result.testsRun))
