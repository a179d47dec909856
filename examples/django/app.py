"""Django with a cache and sessions that every worker knows: log in, count, log out.

    pip install -r requirements.txt
    memstore-cluster run --bind :8080 -- gunicorn app:application

Then open http://localhost:8080/. Of an application that is there already only CACHES and
SESSION_ENGINE change: Django keeps the sessions in what it takes for a Redis, at the path that the
master names in MEMSTORE_SOCK. Kill a worker, or replace all of them with TERM: nobody is logged out.
"""

import os
import secrets

import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import path
from django.views.decorators.http import require_POST

SOCK = os.environ["MEMSTORE_SOCK"]

# All workers have one secret, which the first of them makes.
with redis.Redis(unix_socket_path=SOCK) as store:
    store.set("secret-key", secrets.token_urlsafe(50), nx=True)
    secret_key = store.get("secret-key").decode()

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            # In a database of its own, so that clearing the cache clears nothing else.
            "LOCATION": f"unix://{SOCK}?db=1",
        }
    },
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secret_key,
    SESSION_COOKIE_AGE=3600,
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)

PAGE = """
{% if user is None %}
<form method="post" action="/login">{% csrf_token %}<input name="user"><button>Log in</button></form>
{% else %}
<p>{{ user }}, visit {{ visits }}, process {{ pid }}</p>
<form method="post" action="/logout">{% csrf_token %}<button>Log out</button></form>
{% endif %}
"""


def index(request):
    session = request.session
    if "user" in session:
        session["visits"] += 1
    known = {"user": session.get("user"), "visits": session.get("visits"), "pid": os.getpid()}
    return HttpResponse(engines["django"].from_string(PAGE).render(known, request))


@require_POST
def login(request):
    # A new id, so that nobody can have planted the old one.
    request.session.flush()
    request.session["user"] = request.POST.get("user", "")
    request.session["visits"] = 0
    return redirect("/")


@require_POST
def logout(request):
    request.session.flush()
    return redirect("/")


urlpatterns = [path("", index), path("login", login), path("logout", logout)]
application = get_wsgi_application()
