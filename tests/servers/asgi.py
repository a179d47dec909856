"""For uvicorn: says which worker answers whom."""

import os


async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = f"{os.environ['MEMSTORE_WORKER']} {scope['client'][0]}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
