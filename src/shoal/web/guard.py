"""Who may ask what over HTTP.

Every path is closed unless it stands in `OPEN`. A browser on this machine must not be
turned against us: a request for a foreign Host (DNS rebinding) or from a foreign
Origin (another site's script) gets 403, whatever token it brings.
"""

from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from shoal.core.address import is_loopback, parse
from shoal.errors import InvalidAddress

# What tells nobody anything: that the peer is up, and that it is ready.
OPEN = ("/healthz", "/readyz")

# Figures are for everybody who can reach a loopback address, as with other programs.
# So are datasets to be read, for programs that know a URL and no token.
OPEN_ON_LOOPBACK = ("/", "/metrics")
READ_ON_LOOPBACK = "/datasets/"


class Guard:
    """Checks requests before anybody else sees them."""

    def __init__(self, token: str, host: str, names: tuple[str, ...]) -> None:
        self._token = token.encode()
        self._loopback = is_loopback(host)
        self._names = names

    def check(self, request: web.BaseRequest) -> None:
        """Raise what to answer instead, if anything."""
        if not self._is_ours(request.headers.get(hdrs.HOST, "")):
            raise _forbidden("Host", request.headers.get(hdrs.HOST, ""))
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not _same(origin, request.host):
            raise _forbidden("Origin", origin)
        path = request.path
        if path in OPEN or (self._loopback and path in OPEN_ON_LOOPBACK):
            return
        if self._loopback and path.startswith(READ_ON_LOOPBACK):
            return
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(
            token.strip().encode(errors="surrogateescape"), self._token
        ):
            raise web.HTTPUnauthorized(
                text="this needs the token in the file 'token' of the peer's data "
                "directory, as: Authorization: Bearer TOKEN\n",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )

    def _is_ours(self, host: str) -> bool:
        """Is this how somebody who means us would call us?"""
        try:
            name, _ = parse(host)
        except InvalidAddress:
            return False
        if name.lower() in self._names or is_loopback(name):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False  # A name we never gave ourselves: perhaps another's.
        return True  # A number cannot be rebound.


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _forbidden(header: str, value: str) -> web.HTTPForbidden:
    return web.HTTPForbidden(
        text=f"{header} {value!r} is not this peer; use its address\n"
    )
