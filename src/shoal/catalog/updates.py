"""Bytes that somebody sent to a record's fields, or `MalformedMessage`.

JSON, compressed or not, or lines of a name and a value, as old programs send them. What
genuine catalogs take beyond JSON is taken: remarks, a comma too many, text after the
end. What they make of junk is not: lines are a record only if one says its type.
"""

import json
import re
import zlib
from typing import Any

import msgspec

from shoal.catalog.messages import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_STRING_BYTES,
    MAX_UPDATE_BYTES,
    Fields,
)
from shoal.core.filters.meaning import constant
from shoal.errors import BadExpression, MalformedMessage, NoValue

COMPRESSED = 0x1A

# What people write by hand is shorter; our own reader of it takes a microsecond a word.
MAX_HANDWRITTEN = 8 << 10

# Lines are what programs of twenty years ago send: the largest filled a datagram.
MAX_LINES_BYTES = 65_507

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,63})[ \t]+(\S.*)\Z")
_TYPED = re.compile(r"(?:true|false|null|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[\[{].*)\Z")

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

# An integer that might not fit into 64 bits.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_MOST, _LEAST = 2**63 - 1, -(2**63)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def decode(data: bytes, *, most: int = MAX_ELEMENTS) -> Fields:
    """The fields that were sent, in their order; of equal names the first.

    `most` is how many names, values and elements they may have.
    """
    if data[:1] == b"\x1a":
        data = _inflated(data)
    if len(data) > MAX_UPDATE_BYTES:
        raise MalformedMessage(f"an update of {len(data):,} bytes is too long")
    if data[:1] != b"{":
        return _cleaned(_lines(data))
    _refuse_crowded(data, most)
    try:
        fields: Fields = _decode(data)
        exact = _encode(fields) == data
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        exact = False
    if not exact:  # Perhaps a name stands there twice: the first one counts.
        return _cleaned(_loosely(data))
    return fields if _is_plain(data) else _cleaned(fields)


def _inflated(data: bytes) -> bytes:
    """What was compressed, of which no more is looked at than an update may have."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data[1:], MAX_UPDATE_BYTES + 1)
    except zlib.error as error:
        raise MalformedMessage(f"a compressed update is broken: {error}") from error
    if not inflater.eof:
        raise MalformedMessage("a compressed update is cut, or too long")
    return found


def _first(pairs: list[tuple[str, Any]]) -> Fields:
    found: Fields = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


_READER = json.JSONDecoder(
    object_pairs_hook=_first, parse_constant=_no_number, strict=False
)


def _loosely(data: bytes) -> Any:  # noqa: ANN401 - it is whatever JSON can say.
    """JSON with text after its end; a short one with remarks, or a comma too many."""
    text = data.decode(errors="replace")
    try:
        return _READER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        if len(text) > MAX_HANDWRITTEN:
            raise MalformedMessage("an update that is no JSON") from None
    try:
        found = constant(text)
    except (BadExpression, NoValue) as error:
        raise MalformedMessage("an update that is no JSON") from error
    if not found:  # A lone bracket, to the programs that taught us this.
        raise MalformedMessage("an update that is cut before it says anything")
    return found


def _lines(data: bytes) -> Fields:
    """Lines of a name and a value."""
    if len(data) > MAX_LINES_BYTES:
        raise MalformedMessage("an update that is no JSON")
    if _elements(data) + data.count(b"\n") > MAX_ELEMENTS:
        raise _crowded(MAX_ELEMENTS)
    fields: Fields = {}
    for line in data.decode(errors="replace").split("\n"):
        if not line.strip():
            continue
        found = _LINE.match(line.rstrip())
        if found is None:
            raise MalformedMessage("an update that is neither JSON nor lines")
        fields.setdefault(found[1], _typed(found[2]))
    if "type" not in fields:
        raise MalformedMessage("lines that name no type")
    return fields


def _typed(word: str) -> Any:  # noqa: ANN401
    """A value as JSON has it, or the text as it is."""
    if not _TYPED.match(word):
        return word
    try:
        return _READER.decode(word)
    except (ValueError, RecursionError):
        return word


# Limits


def _refuse_crowded(data: bytes, most: int) -> None:
    """Count before anything is made of it, within strings only where it must be."""
    if _elements(data) <= most:
        return
    strings = data.count(b'"') // 2
    if strings > 2 * most or _elements(_STRING.sub(b"", data)) > most:
        raise _crowded(most)


def _crowded(most: int) -> MalformedMessage:
    return MalformedMessage(f"an update of more than {most:,} elements")


def _elements(data: bytes) -> int:
    if len(data) <= MAX_ELEMENTS:
        return 0
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _is_plain(data: bytes) -> bool:
    """Is every value surely within its limits? Most updates are short and flat.

    Looking at each value takes longer than all the rest.
    """
    return (
        len(data) <= MAX_STRING_BYTES
        and data.count(b"[") + data.count(b"{") <= MAX_DEPTH
        and b"\\u" not in data
        and not _LONG_NUMBER.search(data)
    )


def _cleaned(fields: object) -> Fields:
    """Fields that are safe to keep, and to send on to genuine programs."""
    if not isinstance(fields, dict):
        raise MalformedMessage("an update that is no object")
    return {_string(name): _clean(value, 1) for name, value in fields.items()}


def _clean(value: Any, depth: int) -> Any:  # noqa: ANN401
    if depth > MAX_DEPTH:
        raise MalformedMessage(f"an update of more than {MAX_DEPTH} levels")
    match value:
        case str():
            return _string(value)
        case bool():
            return value
        case int():
            return max(_LEAST, min(value, _MOST))
        case float():
            if value - value != 0:
                raise MalformedMessage("an update with a number that has no end")
            return value
        case list():
            return [_clean(each, depth + 1) for each in value]
        case dict():
            return {
                _string(name): _clean(each, depth + 1) for name, each in value.items()
            }
    return value


def _string(text: str) -> str:
    """Without NUL, which ends strings elsewhere, and without halves of letters."""
    try:
        size = len(text.encode())
    except UnicodeError as error:
        raise MalformedMessage("an update with half a letter") from error
    if size > MAX_STRING_BYTES:
        raise MalformedMessage(f"a string of {size:,} bytes is too long")
    return text.replace("\0", "?")
