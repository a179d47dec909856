"""Flask with sessions that every worker knows: log in, count, log out.

    pip install -r requirements.txt
    memstore-cluster run --bind :8080 -- gunicorn app:app

Then open http://localhost:8080/. Nothing here knows of workers: Flask-Session keeps the sessions in
what it takes for a Redis, at the path that the master names in MEMSTORE_SOCK. Kill a worker, or
replace all of them with TERM: nobody is logged out.
"""

import os

import redis
from flask import Flask, redirect, render_template_string, request, session
from flask_session import Session

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis(unix_socket_path=os.environ["MEMSTORE_SOCK"]),
    PERMANENT_SESSION_LIFETIME=3600,
    SESSION_COOKIE_SAMESITE="Lax",
)
Session(app)

PAGE = """
{% if user is none %}
<form method="post" action="/login"><input name="user"><button>Log in</button></form>
{% else %}
<p>{{ user }}, visit {{ visits }}, process {{ pid }}</p>
<form method="post" action="/logout"><button>Log out</button></form>
{% endif %}
"""


@app.get("/")
def index():
    if "user" in session:
        session["visits"] += 1
    user, visits = session.get("user"), session.get("visits")
    return render_template_string(PAGE, user=user, visits=visits, pid=os.getpid())


@app.post("/login")
def login():
    session.clear()
    session["user"] = request.form.get("user", "")
    session["visits"] = 0
    # A new id, so that nobody can have planted the old one.
    app.session_interface.regenerate(session)
    return redirect("/")


@app.post("/logout")
def logout():
    session.clear()
    return redirect("/")
