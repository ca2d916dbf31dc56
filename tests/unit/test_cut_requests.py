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
