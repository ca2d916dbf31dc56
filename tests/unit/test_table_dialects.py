"""Verbs in frames and lines of JSON: what is asked, what is answered, and no more."""

import json
from random import Random
from typing import Any

import pytest

from shoal.core.frames import FrameReader, framed
from shoal.core.machine import PeerId
from shoal.table.lines import LinesTalk
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.talk import Talk
from shoal.table.verbs import MAX_REQUEST_BYTES, VerbsTalk

VALUE = bytes(700_000)


@pytest.fixture
def table() -> Table:
    return Table(Ballot(1, 1, PeerId("me"), 1), Random(1), logged=False)


def said(talk: Talk, data: bytes) -> list[bytes]:
    """Its replies, in frames."""
    return FrameReader().feed(talk.hear(data))


def told(talk: Talk, *requests: object) -> list[dict[str, Any]]:
    """Its replies to lines."""
    lines = "".join(f"{json.dumps(each)}\n" for each in requests)
    return [json.loads(line) for line in talk.hear(lines.encode()).splitlines()]


def test_find_tells_a_missing_key_from_a_value_that_looks_so(table: Table) -> None:
    talk = VerbsTalk(table)
    table.put(b"a", b"NONE")
    table.put(b"b", b"ERROR not at all")
    asked = b"".join(map(framed, (b"get a", b"find a", b"find b", b"find c")))
    assert said(talk, asked) == [b"NONE", b"=NONE", b"=ERROR not at all", b"NONE"]


def test_an_unknown_verb_is_an_error_and_no_end(table: Table) -> None:
    talk = VerbsTalk(table)
    asked = framed(b"sing") + framed(b"put a") + framed(b"get a")
    first, second, third = said(talk, asked)
    assert first.startswith(b"ERROR unknown verb 'sing'")
    assert second.startswith(b"ERROR put needs a key and a value")
    assert third == b"NONE"
    assert not talk.ended


def test_a_frame_that_is_too_long_ends_after_what_came_before(table: Table) -> None:
    talk = VerbsTalk(table)
    long = (MAX_REQUEST_BYTES + 1).to_bytes(4)
    assert said(talk, framed(b"get a") + long) == [b"NONE"]
    [error] = said(talk, b"x")
    assert error.startswith(b"ERROR a frame of")
    assert talk.ended


@pytest.mark.parametrize("kind", [VerbsTalk, LinesTalk])
def test_what_nobody_reads_yet_is_not_answered_yet(table: Table, kind: type) -> None:
    """A short request may have a long answer: a thousand of them are not held."""
    talk: Talk = kind(table)
    table.put(b"k", b'"%b"' % (b"x" * len(VALUE)))
    lookup = b'{"method":"lookup","key":"k"}\n'
    request = framed(b"get k") if kind is VerbsTalk else lookup
    answered, size = 0, 0
    replies = talk.hear(request * 10)
    while replies:
        assert len(replies) < 3 * len(VALUE)
        answered, size = answered + talk.answered, size + len(replies)
        replies = talk.hear(b"")
    assert answered == 10
    assert size > 10 * len(VALUE)
    assert not talk.paused


def test_a_line_may_come_in_pieces_and_end_with_a_return(table: Table) -> None:
    talk = LinesTalk(table)
    for byte in b'{"method": "size"}\r':
        assert talk.hear(bytes([byte])) == b""
    assert json.loads(talk.hear(b"\n \n")) == {"status": "OK", "result": 0}
    assert talk.answered == 1


def test_2_16_a_document_comes_back_and_goes(table: Table) -> None:
    talk, value = LinesTalk(table), {"weight": 100, "name": "fred"}
    zebra = {"key": "zebra"}
    replies = told(
        talk,
        {"method": "insert", **zebra, "value": value},
        {"method": "lookup", **zebra},
        {"method": "query", **zebra},
        {"method": "scan", "regex": "^z.*a$"},
        {"method": "remove", **zebra},
        {"method": "lookup", **zebra},
    )
    results = [each.get("result") for each in replies[:5]]
    assert results == [None, value, True, [["zebra", value]], value]
    assert replies[5]["status"] == "exception"
    assert replies[5]["type"] == "KeyError"


INVALID = {
    b"junk": "NotJSON",
    b"[1]": "NotJSON",
    b"[" * 100_000: "NotJSON",
    b'{"method": "sing", "key": "a"}': "InvalidMethod",
    b'{"method": ["lookup"], "key": "a"}': "InvalidMethod",
    b'{"key": "a"}': "InvalidMethod",
    b'{"method": "lookup"}': "InvalidKey",
    b'{"method": "lookup", "key": 5}': "InvalidKey",
    b'{"method": "insert", "key": "a"}': "MissingValue",
    b'{"method": "insert", "key": "a", "value": NaN}': "NotJSON",
    b'{"method": "scan"}': "InvalidRegex",
    b'{"method": "scan", "regex": "("}': "InvalidRegex",
    b'{"method": "scan", "regex": 7}': "InvalidRegex",
}


@pytest.mark.parametrize("line", INVALID)
def test_2_17_an_invalid_request_is_told_and_survived(
    table: Table, line: bytes
) -> None:
    talk = LinesTalk(table)
    reply = json.loads(talk.hear(line + b"\n"))
    assert (reply["status"], reply["type"]) == ("invalid", INVALID[line])
    assert reply["message"]
    assert told(talk, {"method": "size"}) == [{"status": "OK", "result": 0}]
