"""Verbs in frames and lines of JSON: what is asked, what is answered, and no more."""

import json
from random import Random
from time import perf_counter
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
    b'{"method": "insert", "key": "a", "value": [1e999]}': "NotJSON",
    b'{"method": "scan", "regex": "%bb"}' % (b"(a?){1000}" * 30): "InvalidRegex",
    b'{"method": "scan", "regex": "%b"}' % (b"a" * 1025): "InvalidRegex",
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


SHOWN: dict[bytes, object] = {
    b' {"a":\n[1, 2]\r\n} ': {"a": [1, 2]},
    '"ü"'.encode(): "ü",
    rb'"\ud800"': "\ud800",
    b"1e99": 1e99,
    b"9" * 300: int("9" * 300),
    b'"1e999"': "1e999",
    b'["a",]': '["a",]',
    b"": "",
    b'"\xff"': {"base64": "Iv8i"},
    b"NaN": "NaN",
    b"[-Infinity]": "[-Infinity]",
    b"1e999": "1e999",
    b"9" * 310 + b".0": "9" * 310 + ".0",
    b"1" * 5000: "1" * 5000,
}


@pytest.mark.parametrize("value", SHOWN, ids=lambda value: repr(value[:12]))
def test_what_another_dialect_stored_is_shown_as_json(
    table: Table, value: bytes
) -> None:
    """As the document it is, if it is one; else as text. Never as what is not JSON."""
    table.put(b"k", value)
    replies = LinesTalk(table).hear(
        b'{"method":"lookup","key":"k"}\n{"method":"scan","regex":"k"}\n'
    )
    lookup, scan = (
        json.loads(line, parse_constant=pytest.fail) for line in replies.splitlines()
    )
    assert lookup == {"status": "OK", "result": SHOWN[value]}
    assert scan == {"status": "OK", "result": [["k", SHOWN[value]]]}


def test_a_value_of_any_depth_is_shown(table: Table) -> None:
    """As text where it is too deep for a document: the reply lies yet deeper."""
    talk = LinesTalk(table)
    for depth in range(1, 1200):
        table.put(b"k", b"[" * depth + b"]" * depth)
        assert talk.hear(b'{"method":"scan","regex":"k"}\n').startswith(b'{"status":"O')


def test_a_large_document_is_shown_at_once(table: Table) -> None:
    table.put(b"k", b"[" + b"[]," * 2_700_000 + b"[]]")
    talk = LinesTalk(table)
    began = perf_counter()
    assert len(talk.hear(b'{"method":"lookup","key":"k"}\n')) > 8_000_000
    assert perf_counter() - began < 0.25  # Read and written again it took 0.7 s.


def test_half_a_character_may_be_looked_for(table: Table) -> None:
    table.put("a\ud800".encode(errors="surrogatepass"), b"1")
    asked = b'{"method":"scan","regex":"\\ud800"}\n{"method":"scan","regex":"b"}\n'
    first, second = LinesTalk(table).hear(asked).splitlines()
    assert len(json.loads(first)["result"]) == 1
    assert json.loads(second)["result"] == []


def test_a_scan_ends_before_it_costs_minutes(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.table.lines.MAX_SCAN_STEPS", 1 << 25)
    for n in range(20):
        table.put(b"%d" % n + b"a" * 50_000, b"1")
    heavy = {"method": "scan", "regex": "(((((a{30})?){30})?)b)"}
    cheap = {"method": "scan", "regex": "^7a"}
    refused, found = told(LinesTalk(table), heavy, cheap)
    assert (refused["status"], refused["type"]) == ("invalid", "TooMuch")
    assert len(found["result"]) == 1
