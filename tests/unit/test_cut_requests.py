"""Requests to a table in Redis's protocol, cut by the network wherever it likes."""

from random import Random
from types import SimpleNamespace

import pytest

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.talk import RedisTalk
from tests.callers import server_of, talk_to
from tests.conformance.redis_wire import resp

SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nGET k\r\nPING \r\n"
WHOLE = SET + b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"
HEADS = [b"*", b">", b"~", b"|", b"%"]
REPLIES = b"+OK\r\n$12\r\nGET k\r\nPING \r\n"


def talk() -> RedisTalk:
    ballot = Ballot(view=1, counter=1, peer=PeerId("p"), start=1)
    return talk_to(server_of(Table(ballot, Random(0), logged=False)))


@pytest.mark.parametrize("first", range(len(WHOLE)))
def test_a_request_cut_in_three_is_one_request(first: int) -> None:
    for second in range(first, len(WHOLE)):
        one = talk()
        parts = WHOLE[:first], WHOLE[first:second], WHOLE[second:]
        assert b"".join(one.hear(part) for part in parts if part) == REPLIES, second


LISTS = [b"*4294967295\r\n", *(b"*1\r\n%b4294967295\r\n" % mark for mark in HEADS)]


@pytest.mark.parametrize("many", LISTS)
def test_no_head_of_a_list_is_cut_too_small_to_be_seen(many: bytes) -> None:
    for size in range(1, 5):
        one, heard = talk(), b""
        one.hear(PING)
        for at in range(0, len(many), size):
            heard += one.hear(many[at : at + size])
        # Behind a whole line, what is no frame is taken for typed.
        assert b"invalid multibulk length" in heard or b"unknown command" in heard
        assert b"invalid multibulk length" in talk().hear(SET + PING + many)


@pytest.mark.parametrize("mark", b"*>~|%".decode())
def test_a_value_may_look_like_the_head_of_a_list(mark: str) -> None:
    value = f"a {mark}1234567\r\nrest\r\n{mark}12345678\r\n".encode()
    said = resp([b"SET", b"k", value]) * 2 + resp([b"GET", b"k"])
    for cut in range(len(said)):
        one = talk()
        heard = one.hear(said[:cut] or PING) + one.hear(said[cut:])
        assert heard.endswith(b"+OK\r\n$%d\r\n%b\r\n" % (len(value), value))
        assert b"invalid" in one.hear(resp([b"SET", b"l", value]) + LISTS[0])


def test_a_long_value_may_be_full_of_heads() -> None:
    one, value = talk(), b"*1234567\r\n" * 300_000
    said = resp([b"SET", b"k", value])
    heard = [one.hear(said[at : at + 50_000]) for at in range(0, len(said), 50_000)]
    assert b"".join(heard) == b"+OK\r\n"


def test_what_there_is_no_memory_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full() -> None:
        raise MemoryError

    one = talk()
    monkeypatch.setattr(one, "_reader", SimpleNamespace(feed=list, gets=full))
    assert one.hear(PING).startswith(b"-ERR Protocol error")
    assert one.ended


def test_long_replies_do_not_make_short_requests_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = talk()
    one.hear(resp([b"SET", b"k", bytes(1 << 20)]))
    monkeypatch.setattr("shoal.table.redis.talk.MAX_REQUEST_BYTES", 1 << 18)
    for cut in (0, 9):
        ask = resp([b"MGET", b"k", *[b"none"] * 10_000])
        one.hear(ask[:cut])
        for _ in range(50 if cut else 5):
            assert len(one.hear(ask[cut:] + ask[:cut])) > 1 << 20
            assert not one.hear(b"")


MANY = b"*1000000000\r\n"


@pytest.mark.parametrize("before", [b"", b"*1\r\n$4\r\nPING\r\n"], ids=["", "PING"])
@pytest.mark.parametrize("first", range(1, len(MANY)))
def test_a_request_of_too_many_words_is_refused_however_it_is_cut(
    before: bytes, first: int
) -> None:
    for second in range(first, len(MANY)):
        one = talk()
        parts = before + MANY[:first], MANY[first:second], MANY[second:]
        told = b"".join(one.hear(part) for part in parts if part)
        assert b"invalid multibulk length" in told, second
        assert one.ended


def test_a_request_of_too_many_words_is_refused_byte_by_byte() -> None:
    one = talk()
    told = b"".join(one.hear(bytes([byte])) for byte in SET + MANY)
    assert b"invalid multibulk length" in told


GET_KEY = resp([b"GET", b"k"])
HELD = [
    (b"*2\r\n", b"expected '$'"),
    (b"*1\r\n", b"expected '$'"),
    (b"*1\r\n$18\r\n", b"unknown command"),
    (b"*2\r\n$3\r\nGET\r\n$18\r\n", b"$1\r\nv\r\n"),
    (PING + b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$18\r\n", b"+OK\r\n"),
]


@pytest.mark.parametrize(("begun", "reply"), HELD)
@pytest.mark.parametrize("before", [b"", PING, GET_KEY, SET])
def test_what_looks_like_a_whole_request_may_be_a_part_of_one(
    before: bytes, begun: bytes, reply: bytes
) -> None:
    one = talk()
    key = GET_KEY[:18]
    one.hear(resp([b"SET", key, b"v"]))
    one.hear(before or PING)
    one.hear(begun)
    assert reply in one.hear(GET_KEY) + one.hear(GET_KEY)


def test_a_whole_request_is_understood_alike_alone_and_among_others() -> None:
    rng = Random(3)
    keys = [b"k", b"{k}1", b"a\rb", b"\r\n", b"", b"k" * (64 << 10), b"k" * (65 << 10)]
    values = [b"", b"v", b"\r\n$1\r\nx", b"v" * 100_000]
    alone, among = talk(), talk()
    for _ in range(500):
        key, value = rng.choice(keys), rng.choice(values)
        said = resp([b"SET", key, value] if rng.random() < 0.5 else [b"GET", key])
        said = said.replace(b"$1\r\n", rng.choice([b"$1\r\n"] * 9 + [b"$0\r\n"]), 1)
        ping = b"+PONG\r\n" if not among.ended else b""
        assert among.hear(PING + said) == ping + alone.hear(said), said[:100]
        if alone.ended or among.ended:
            alone, among = talk(), talk()
