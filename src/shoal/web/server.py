"""HTTP on the peer's port: one server for whole connections, one table of routes."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from shoal.errors import NotFound, ShoalError
from shoal.web.guard import Guard

Answer = web.StreamResponse
Route = Callable[[web.BaseRequest], Awaitable[Answer]]

# Between two requests a connection may idle for an hour, as after any other dialect.
KEEPALIVE_S = 3600.0

# The other side has gone, or speaks no HTTP: its trouble, and no bug of ours.
_BROKEN = (ConnectionError, web.RequestPayloadError)

MAX_BODY_BYTES = 1 << 20


class Web:
    """Answers requests by method and path; `/*` at a path's end is any one name."""

    def __init__(self, guard: Guard, fail: Callable[[Exception], None]) -> None:
        self._guard = guard
        self._fail = fail
        self._routes: dict[tuple[str, str], Route] = {}
        self._server = web.Server(
            self._answer, keepalive_timeout=KEEPALIVE_S, access_log=None
        )

    def route(self, method: str, path: str, route: Route) -> None:
        """Say who answers there."""
        self._routes[method, path] = route

    def protocol(self) -> asyncio.Protocol:
        """For one more connection."""
        return self._server()

    async def close(self) -> None:
        """Let requests under way end, for a second."""
        await self._server.shutdown(1.0)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        try:
            self._guard.check(request)
            route = self._find(request)
            return await route(request)
        except web.HTTPException as error:
            return web.Response(
                status=error.status, text=error.text, headers=error.headers
            )
        except ShoalError as error:
            told = {"kind": type(error).__name__, "message": str(error)}
            missing = isinstance(error, NotFound)
            return reply({"error": told}, status=404 if missing else 409)
        except _BROKEN as error:
            return web.Response(status=400, text=f"the request broke off: {error}\n")
        except Exception as error:
            self._fail(error)
            raise

    def _find(self, request: web.BaseRequest) -> Route:
        method = "GET" if request.method == "HEAD" else request.method
        asked = request.rel_url.raw_path  # A / in a name is written %2F.
        family = f"{asked.rpartition('/')[0]}/*"
        for path in (asked, family):
            if route := self._routes.get((method, path)):
                return route
        allowed = [w for w, path in self._routes if path in (asked, family)]
        if allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        raise web.HTTPNotFound(text=f"nothing is served at {asked}\n")


def reply(value: object, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    text = json.dumps(value, default=list) + "\n"
    return web.Response(status=status, text=text, content_type="application/json")
