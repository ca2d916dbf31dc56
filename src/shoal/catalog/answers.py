"""Records as programs want them: JSON, lines, old ClassAds; and what is refused."""

import html
import zlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.catalog.messages import Entry
from shoal.catalog.words import plain

PLAIN, PAGE = "text/plain; charset=utf-8", "text/html; charset=utf-8"
SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"

OK = 200
_REASONS = {
    OK: "OK",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    503: "Service Unavailable",
}

# Pages are for people. Nothing runs in them but our own script, whatever a record says,
# and nothing asks anybody but this catalog.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_BROWSERS = (
    f"Content-Security-Policy: {_POLICY}",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: same-origin",
    "Cache-Control: no-cache",
    "Vary: Accept-Encoding",
)

# What fits into one packet is not packed, nor what takes longer than five milliseconds.
LEAST_PACKED, MOST_PACKED = 1200, 1 << 20

_encode = msgspec.json.Encoder().encode

# Records of one portion of an answer, 0.2 ms where each is written anew; and its bytes.
PORTION = 20
PORTION_BYTES = 16 << 10


class Answer(Struct, frozen=True, weakref=True):
    """What is said to one request; a long body in portions."""

    body: bytes
    kind: str = PLAIN
    status: int = OK
    before: tuple[bytes, ...] = ()  # The body.
    tag: str = ""  # Who has an answer of the same tag has this one.
    is_packed: bool = False

    @property
    def size_bytes(self) -> int:
        """Of the body, all portions together."""
        return sum(map(len, self.before)) + len(self.body)

    def packed(self) -> "Answer":
        """Pages in a tenth of the bytes; programs get theirs as they are."""
        if self.kind == PLAIN or not LEAST_PACKED <= len(self.body) <= MOST_PACKED:
            return self
        packer = zlib.compressobj(1, wbits=31)
        body = packer.compress(self.body) + packer.flush()
        return replace(self, body=body, is_packed=True)

    def head(self, date: str) -> bytes:
        """What goes before the body; the connection ends after it."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Date: {date}",
            "Server: catalog_server",
            "Connection: close",
            "Access-Control-Allow-Origin: *",
            f"Content-type: {self.kind}",
        ]
        if self.status != 304:
            lines.append(f"Content-Length: {self.size_bytes}")
        if self.kind != PLAIN:
            lines += _FOR_BROWSERS
        if self.tag:
            lines.append(f'ETag: "{self.tag}"')
        if self.is_packed:
            lines.append("Content-Encoding: gzip")
        return "\r\n".join([*lines, "", ""]).encode()


class Shape(NamedTuple):
    """How records stand one after the other; `opening` is told how many there are."""

    kind: str
    opening: Callable[[int], bytes]
    each: Callable[[Entry], bytes]
    between: bytes
    closing: bytes

    portion: int = PORTION

    def portions(self, entries: Sequence[Entry]) -> Iterator[bytes]:
        """What is said of them, bit by bit."""
        yield self.opening(len(entries))
        some, size = list[bytes](), 0
        for entry in entries:
            if size > PORTION_BYTES or len(some) == self.portion:
                yield self.between.join([*some, b""])
                some, size = [], 0
            some.append(self.each(entry))
            size += len(some[-1])
        yield self.between.join(some) + self.closing

    def of(self, entries: Sequence[Entry]) -> Answer:
        """The answer for these records."""
        return Answer(b"".join(self.portions(entries)), self.kind)


def _line_a_field(entry: Entry) -> bytes:
    """A name and a value a line, a blank line after each record."""
    lines = [f"{plain(name)} {plain(value)}\n" for name, value in entry.fields.items()]
    return f"{''.join(lines)}\n".encode(errors="replace")


def _classad(entry: Entry) -> bytes:
    """As Condor had them once."""
    lines = [
        b"%b=%b;\n" % (plain(name).encode(errors="replace"), _encode(value))
        for name, value in entry.fields.items()
    ]
    return b"[\n%b]\n" % b"".join(lines)


JSON = Shape(
    PLAIN, lambda _: b"[\n", lambda entry: entry.text, b",\n", b"\n]\n", portion=500
)
SHAPES = {
    "/query.json": JSON,
    "/query.text": Shape(PLAIN, lambda _: b"", _line_a_field, b"", b""),
    "/query.newclassads": Shape(PLAIN, lambda _: b"", _classad, b"", b""),
}


def unchanged(tag: str = "") -> Answer:
    """They have it already."""
    return Answer(b"", PAGE, 304, tag=tag)


def holds(known: str, tag: str) -> bool:
    """Is that one of the tags in a request?"""
    return f'"{tag}"' in known


def tag_of(body: bytes) -> str:
    """Another one for whatever else is said."""
    return blake2b(body, digest_size=8).hexdigest()


def not_found(path: str) -> Answer:
    """Nothing is served there."""
    shown = html.escape(path[:1000])
    body = f"<p>Error 404: Invalid URL</p><pre>{shown}</pre>\n"
    return Answer(body.encode(errors="replace"), PAGE, 404)


def no_base64() -> Answer:
    """What should be a filter was not even that."""
    return Answer(b"Invalid base-64 encoding.\n", status=400)


def no_filter() -> Answer:
    """It cannot be read."""
    return Answer(b"Invalid query text.\n", status=400)


def too_busy() -> Answer:
    """More is being sent to others than there is room for."""
    return Answer(b"Too many answers are under way: ask again later.\n", status=503)


def too_costly() -> Answer:
    """It can, and takes too long."""
    return Answer(b"This filter takes too long: ask for less.\n", status=503)
