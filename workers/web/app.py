"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.addresses import networks_in
from config.files import raise_limit
from config.runtime import Runtime
from config.settings import Settings
from tasks.fleet import ProcessRole
from workers import readiness
from workers.presence import Presence
from workers.web import bodies, connections, event_posts, signing_in, single_sign_on, unsubscribe
from workers.web.api import page
from workers.web.api.routes import Api
from workers.web.asking import Bulkhead
from workers.web.bodies import Bodies
from workers.web.connections import Gatekeeper
from workers.web.console.app import BASE as CONSOLE
from workers.web.console.app import Console
from workers.web.console.looks import icon
from workers.web.paths import path_of
from workers.web.watching import Watching

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Bodies of the largest size that are kept at once.
MOST_BODIES = 8

#: Links that are answered at once, and posts that are taken at once: each has a thread and a connection meanwhile.
LINKS_AT_ONCE, TAKEN_AT_ONCE = 8, 4


def make_app(runtime: Runtime, most_bodies: int = bodies.MOST) -> Starlette:
    """The pages of one deployment."""
    links = Bulkhead(runtime, "web links", at_once=LINKS_AT_ONCE, wait=2, seconds=3, statement=2)
    signing = Bulkhead(runtime, "web sign-in", at_once=signing_in.AT_ONCE, wait=5, seconds=10, statement=2)
    through = Bulkhead(runtime, "web openid", at_once=single_sign_on.AT_ONCE, wait=5, seconds=30, statement=2)
    posts = Bulkhead(runtime, "web posts", at_once=TAKEN_AT_ONCE, wait=3, seconds=30, statement=None)
    settings = runtime.settings
    read = Bodies(MOST_BODIES * settings.rollcall_events_bytes, settings.rollcall_events_seconds, most_bodies)
    watching = Watching(runtime)
    api, console = Api(runtime, read), Console(runtime, read)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with watching.listening():
            yield
        for bulkhead in (links, signing, through, posts):
            bulkhead.close()
        watching.close()
        api.close()
        console.close()

    found = [*watching.routes(), *event_posts.routes(posts, read), *unsubscribe.routes(links, read)]
    found += [*signing_in.routes(signing, read), *single_sign_on.routes(through, read)]
    found += [*page.routes(runtime.endpoints.public_url), *api.routes(), *console.routes()]
    found += [Route("/favicon.ico", icon), *_front(runtime.endpoints.public_url)]
    app = Starlette(routes=found, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    app.state.shortcut = api.doorway.take
    return app


def _front(public_url: str) -> list[Route]:
    """The bare address: a browser is sent on to the console, to whatever else nothing is there."""

    async def front(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404)
        place = "" if request.url.path.endswith("/") else request.url.path.rpartition("/")[2] + "/"
        return signing_in.elsewhere(f"{place}{CONSOLE[1:]}")

    path = path_of(public_url)
    return [Route(bare, front) for bare in sorted({"/", path or "/", f"{path}/"})]


class _Server(uvicorn.Server):
    """A server whose system keeps more connections for it than it takes at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        for listening in (one for server in getattr(self, "servers", []) for one in server.sockets):
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(connections.WAITING_OUTSIDE)


def make_server(runtime: Runtime, files: int) -> uvicorn.Server:
    """The server of one process that may have so many files open."""
    settings = runtime.settings
    most = connections.most_connections(files)
    proxies = networks_in(settings.rollcall_web_proxies or "")
    app = make_app(runtime, min(bodies.MOST, max(1, most // connections.SHARE)))
    door: Any = Gatekeeper(most, proxies, app.state.shortcut).protocol
    return _Server(
        uvicorn.Config(
            app,
            host=settings.rollcall_web_host,
            port=settings.rollcall_web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=[str(network) for network in proxies],
            http=door,
            ws="none",
            backlog=connections.ACCEPTED_AT_ONCE,
            timeout_keep_alive=int(connections.IDLE_SECONDS),
        )
    )


def _shared_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets at a port at which other processes of this user may have theirs: the system deals out connections."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = dict.fromkeys((family, address[:2]) for family, _, _, _, address in found)
    return [
        socket.create_server((str(name), int(number)), family=family, reuse_port=True)
        for family, (name, number) in places
    ]


def _serve(server: uvicorn.Server, settings: Settings) -> None:
    host, port = settings.rollcall_web_host, settings.rollcall_web_port
    with suppress(OSError):  # it is seen that nothing is served
        server.run(_shared_sockets(host, port) if settings.rollcall_web_shared else None)


def run(runtime: Runtime, presence: Presence | None = None, made: Callable[[], None] = lambda: None) -> None:
    """Serve until told to stop. `made`: called once all that stays is there, before anybody is served."""
    settings = runtime.settings
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # strangers could fill the log with what is no HTTP
    server = make_server(runtime, raise_limit())
    made()
    thread = threading.Thread(target=_serve, args=(server, settings), name="web", daemon=True)
    thread.start()
    presence = presence or Presence(runtime, ProcessRole.WEB)
    while thread.is_alive() and not runtime.stopping.wait(LOOK_SECONDS):
        presence.lives()
        if server.started:
            readiness.report()
    if not runtime.stopping.is_set():
        raise SystemExit(f"The pages cannot be served at {settings.rollcall_web_host}:{settings.rollcall_web_port}.")
    server.should_exit = True
    thread.join(settings.rollcall_drain_seconds)
