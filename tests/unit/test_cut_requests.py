"""Requests to a table in Redis's protocol, cut by the network wherever it likes."""

from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.talk import RedisTalk
from tests.callers import server_of, talk_to

SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nGET k\r\nPING \r\n"
WHOLE = SET + b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
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
