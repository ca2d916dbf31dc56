"""Who may ask what over HTTP."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from shoal.web.guard import Guard

GUARD = Guard("secret", "127.0.0.1", ("lab1",))
PUBLIC = Guard("secret", "10.0.0.1", ("lab1",))
BEARER = {"Host": "127.0.0.1:7600", "Authorization": "Bearer secret"}


def ask(guard: Guard, path: str, headers: dict[str, str]) -> int:
    try:
        guard.check(make_mocked_request("GET", path, headers))
    except web.HTTPException as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {"Host": "127.0.0.1"}, 200),
        ("/metrics", {"Host": "localhost:7600"}, 200),
        ("/metrics", {"Host": "lab1"}, 200),
        ("/metrics", {"Host": "LAB1:7600"}, 200),
        ("/metrics", {"Host": "evil.example"}, 403),
        ("/healthz", {"Host": "evil.example"}, 403),
        ("/healthz", {}, 200),  # Old probes send none; browsers always do.
        ("/healthz", {"Host": ""}, 200),
        ("/api/members", {"Host": "127.0.0.1:7600"}, 401),
        ("/api/members", {**BEARER, "Authorization": "Bearer wrong"}, 401),
        ("/api/members", {**BEARER, "Authorization": "Basic secret"}, 401),
        ("/api/members", BEARER, 200),
        ("/api/members", {**BEARER, "Authorization": "bearer  secret"}, 200),
        ("/api/members", {**BEARER, "Origin": "http://evil.example"}, 403),
        ("/api/members", {**BEARER, "Origin": "null"}, 403),
        ("/api/members", {**BEARER, "Origin": "http://127.0.0.1:7600"}, 200),
        ("/api/members", {**BEARER, "Origin": "http://127.0.0.1:7601"}, 403),
    ],
)
def test_whoever_asks_on_loopback(
    path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(GUARD, path, headers) == status


def test_off_loopback_figures_need_the_token_too() -> None:
    assert ask(PUBLIC, "/metrics", {"Host": "10.0.0.1:7600"}) == 401
    assert ask(PUBLIC, "/healthz", {"Host": "10.0.0.1:7600"}) == 200
