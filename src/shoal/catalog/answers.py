"""Records as those who ask want them: JSON, lines, old ClassAds, pages for people."""

import html
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Struct

from shoal.catalog.messages import Entry

PLAIN, PAGE = "text/plain; charset=utf-8", "text/html; charset=utf-8"

OK = 200
_REASONS = {OK: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}

# Pages are for people; nothing in them may run, whatever a record says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_encode = msgspec.json.Encoder().encode

# What genuine catalogs show of a record, and what they say where it is silent.
_COLUMNS = ("type", "name", "port", "owner", "version")
_SILENT = "???"

# Of a field on the page of all records; the record's own page has it whole.
MAX_CELL = 200


# Records of one portion of an answer, 0.2 ms where each is written anew; and its bytes.
PORTION = 20
PORTION_BYTES = 16 << 10


class Answer(Struct, frozen=True, weakref=True):
    """What is said to one request; a long body in portions."""

    body: bytes
    kind: str = PLAIN
    status: int = OK
    before: tuple[bytes, ...] = ()  # The body.

    @property
    def size_bytes(self) -> int:
        """Of the body, all portions together."""
        return sum(map(len, self.before)) + len(self.body)

    def head(self, date: str) -> bytes:
        """What goes before the body; the connection ends after it."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Date: {date}",
            "Server: catalog_server",
            "Connection: close",
            "Access-Control-Allow-Origin: *",
            f"Content-type: {self.kind}",
            f"Content-Length: {self.size_bytes}",
        ]
        if self.kind == PAGE:
            lines.append(f"Content-Security-Policy: {_POLICY}")
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
    lines = [
        f"{_plain(name)} {_plain(value)}\n" for name, value in entry.fields.items()
    ]
    return f"{''.join(lines)}\n".encode(errors="replace")


def _classad(entry: Entry) -> bytes:
    """As Condor had them once."""
    lines = [
        b"%b=%b;\n" % (_plain(name).encode(errors="replace"), _encode(value))
        for name, value in entry.fields.items()
    ]
    return b"[\n%b]\n" % b"".join(lines)


def _row(entry: Entry) -> bytes:
    """A row for people, with a link to the record's own page."""
    fields = entry.fields
    shown = (_plain(fields.get(name, _SILENT))[:MAX_CELL] for name in _COLUMNS)
    cells = [html.escape(each) for each in shown]
    cells[1] = f'<a href="/detail/{html.escape(quote(entry.key))}">{cells[1]}</a>'
    return f"<tr><td>{'<td>'.join(cells)}\n".encode(errors="replace")


def _above(count: int) -> bytes:
    forms = (("text", "text"), ("json", "json"), ("newclassads", "classads"))
    links = " | ".join(f'<a href="/query.{form}">{name}</a>' for form, name in forms)
    titles = "".join(f"<th align=left>{name.upper()}" for name in _COLUMNS)
    table = f"<p>{count} records: {links}\n<table border=1>\n<tr>{titles}\n"
    return _beginning("catalog server") + table.encode()


_HTML = Shape(PAGE, _above, _row, b"", b"</table>\n")
JSON = Shape(
    PLAIN, lambda _: b"[\n", lambda entry: entry.text, b",\n", b"\n]\n", portion=500
)
SHAPES = {
    "/": _HTML,
    "/query.html": _HTML,
    "/query.json": JSON,
    "/query.text": Shape(PLAIN, lambda _: b"", _line_a_field, b"", b""),
    "/query.newclassads": Shape(PLAIN, lambda _: b"", _classad, b"", b""),
}


def as_detail(entry: Entry | None) -> Answer:
    """All that one record says."""
    if entry is None:
        return _page("Unknown Item!", "")
    rows = "".join(
        f"<tr><td>{html.escape(_plain(name))}<td>{html.escape(_plain(value))}\n"
        for name, value in entry.fields.items()
    )
    return _page(html.escape(entry.name), f"<table border=1>\n{rows}</table>\n")


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


def _plain(value: Any) -> str:  # noqa: ANN401 - it is whatever JSON can say.
    """A value in one line: strings bare, numbers as genuine catalogs write them."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(sign if sign.isprintable() else " " for sign in value)
    if type(value) is int:
        return str(value)
    if isinstance(value, float):
        return f"{value:.16g}"
    return _encode(value).decode()


def _page(title: str, body: str) -> Answer:
    return Answer(_beginning(title) + body.encode(errors="replace"), PAGE)


def _beginning(title: str) -> bytes:
    text = (
        '<!doctype html>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<h1>{title}</h1>\n"
    )
    return text.encode(errors="replace")
