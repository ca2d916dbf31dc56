"""What a request line asks a catalog for. A pure function: paths in, meanings out."""

import binascii
import re
from typing import Literal
from urllib.parse import unquote, unquote_to_bytes

from msgspec import Struct

from shoal.catalog.answers import SHAPES, Answer, no_base64, no_filter, not_found
from shoal.catalog.page.frame import SCRIPT_PATH, STYLE_PATH
from shoal.catalog.page.view import View, read
from shoal.core.filters.meaning import Filter
from shoal.errors import BadExpression

# A filter of 16 KB in base64, and a path around it.
MAX_LINE_BYTES = 24 << 10

_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_PAST = re.compile(r"/history/([0-9]{1,12})(/.*)?\Z")


# The page for people, by both of its names. Only they understand a question mark.
PAGES = ("/", "/query.html")


class Form(Struct, frozen=True):
    """All records, in one of the forms."""

    path: str
    at: int | None = None


class Select(Struct, frozen=True):
    """Those that a filter means, as JSON."""

    filter: Filter
    at: int | None = None


class Look(Struct, frozen=True):
    """Some of the records in some order, for people."""

    view: View
    at: int | None = None


class Part(Struct, frozen=True):
    """What a page needs besides."""

    path: str


class Detail(Struct, frozen=True):
    """One record, for people."""

    key: str
    at: int | None = None


Asked = Form | Select | Look | Part | Detail | Answer


def first_line(head: bytes) -> tuple[str, Literal["GET", "HEAD"]] | None:
    """The path, and whether a body is wanted; nothing if it is no HTTP at all."""
    line = head.lstrip(b"\r\n").partition(b"\n")[0].decode("latin-1").strip("\r")
    words = line.split(" ")
    if len(words) < 3 or not words[1]:
        return None
    path = _ABSOLUTE.sub("", words[1], count=1) or "/"
    return path, "HEAD" if words[0] == "HEAD" else "GET"


def heading(head: bytes, name: bytes) -> str:
    """What a request says under a name."""
    for line in head.split(b"\n")[1:]:
        said, _, value = line.partition(b":")
        if said.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def understand(path: str, at: int | None = None) -> Asked:
    """What a path means; the answer at once where that is a refusal."""
    page, _, query = path.partition("?")
    if page in PAGES:
        return Look(read(query), at)
    if path in SHAPES:
        return Form(path, at)
    if path in (SCRIPT_PATH, STYLE_PATH):
        return Part(path)
    if path.startswith("/query/"):
        return _select(path.removeprefix("/query/"), at)
    if path.startswith("/detail/"):
        return Detail(unquote(path.removeprefix("/detail/")), at)
    past = _PAST.match(path)
    if past and at is None:
        return understand(past[2] or "/", int(past[1]))
    return not_found(path)


def _select(encoded: str, at: int | None) -> Asked:
    """All that follows: a / is a letter of base64, and a + is no blank."""
    try:
        text = binascii.a2b_base64(unquote_to_bytes(encoded), strict_mode=True)
    except (binascii.Error, ValueError):
        return no_base64()
    try:
        return Select(Filter(text.decode(errors="replace")), at)
    except BadExpression:
        return no_filter()
