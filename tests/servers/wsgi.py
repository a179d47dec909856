"""For gunicorn: says which worker answers whom."""

import os


def app(environ, start_response):
    body = f"{os.environ['MEMSTORE_WORKER']} {environ['REMOTE_ADDR']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
