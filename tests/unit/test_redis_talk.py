"""What a conversation owes a client beside the right words."""

from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, Ballot
from shoal.table.protocol import Table
from shoal.table.redis.replies import (
    CommandError,
    Push,
    Reply,
    Several,
    Status,
    Together,
    Verbatim,
    encode,
)
from shoal.table.redis.talk import RedisTalk
from tests.callers import Deaf, server_of
from tests.conformance.redis_wire import resp


@pytest.mark.parametrize(
    ("reply", "second", "third"),
    [
        (None, b"$-1\r\n", b"_\r\n"),
        (7, b":7\r\n", b":7\r\n"),
        (b"a", b"$1\r\na\r\n", b"$1\r\na\r\n"),
        (Status("OK"), b"+OK\r\n", b"+OK\r\n"),
        ({"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (Verbatim("a"), b"$1\r\na\r\n", b"=5\r\ntxt:a\r\n"),
        (Together([1]), b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
        (Push([1]), b"*1\r\n:1\r\n", b">1\r\n:1\r\n"),
        (Several([1, 2]), b":1\r\n:2\r\n", b":1\r\n:2\r\n"),
        (Several([]), b"", b""),
        ([[], [None]], b"*2\r\n*0\r\n*1\r\n$-1\r\n", b"*2\r\n*0\r\n*1\r\n_\r\n"),
        (CommandError("ERR a\r\nb\n"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
    ],
)
def test_forms(reply: Reply, second: bytes, third: bytes) -> None:
    assert encode(reply, 2) == second
    assert encode(reply, 3) == third


class Desk:
    """A table whose changes are committed by hand, and two who talk to it."""

    def __init__(self) -> None:
        self.table = Table(Ballot(1, 1, PeerId("p"), 1), Random(0), logged=True)
        self.server = server_of(self.table)
        self.callers = [Deaf(), Deaf()]
        self.talks = [RedisTalk(self.server, each) for each in self.callers]

    def say(self, who: int, *words: bytes) -> bytes:
        self.table.begin(1000)
        return self.talks[who].hear(resp(list(words)))

    def turns(self, who: int, said: bytes) -> list[tuple[bytes, int, int]]:
        """What each turn is answered, how many these are, and what they rest on."""
        talk = self.talks[who]
        turns: list[tuple[bytes, int, int]] = []
        while not turns or talk.paused:
            self.table.begin(1000)
            heard = talk.hear(b"" if turns else said)
            turns.append((heard, talk.answered, self.table.rests_on))
        return turns

    def commit(self) -> None:
        batch = self.table.take()
        assert batch
        self.table.committed(batch.ticket)


def test_an_event_is_told_when_its_change_is_safe() -> None:
    desk = Desk()
    desk.say(0, b"CONFIG", b"SET", b"notify-keyspace-events", b"KEA")
    desk.say(0, b"PSUBSCRIBE", b"__key*")
    desk.say(1, b"SET", b"k", b"v")
    assert not desk.callers[0].pushed
    desk.commit()
    assert desk.callers[0].pushed.count(b"pmessage") == 2


def test_an_event_of_what_was_refused_is_never_told() -> None:
    desk = Desk()
    desk.say(0, b"CONFIG", b"SET", b"notify-keyspace-events", b"KEAm")
    desk.say(0, b"PSUBSCRIBE", b"__key*")
    desk.say(1, b"SET", b"k", b"v")
    desk.table.refused()
    desk.say(1, b"SET", b"k", b"w")
    desk.say(1, b"GET", b"other")  # Rests on nothing, but comes after.
    assert not desk.callers[0].pushed
    desk.commit()
    assert desk.callers[0].pushed.count(b"pmessage") == 4


def test_what_a_flush_took_rests_on_it() -> None:
    desk = Desk()
    desk.say(0, b"SET", b"k", b"v")
    desk.commit()
    desk.say(0, b"FLUSHALL")
    ticket = desk.table.rests_on
    assert desk.say(1, b"GET", b"k") == b"$-1\r\n"
    assert desk.table.rests_on == ticket
    desk.table.refused()
    assert desk.say(1, b"GET", b"k") == b"$1\r\nv\r\n"
    assert desk.table.rests_on == 0


def test_news_of_ones_own_doing_come_in_their_place() -> None:
    desk = Desk()
    both = resp([b"SUBSCRIBE", b"c"]) + resp([b"PUBLISH", b"c", b"m"])
    desk.say(0, b"HELLO", b"3")
    turns = desk.turns(0, both)
    heard = b"".join(each for each, _, _ in turns)
    assert heard.endswith(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n:1\r\n")
    assert sum(count for _, count, _ in turns) == 2
    assert not desk.callers[0].pushed


def test_quick_commands_are_refused_to_who_listens() -> None:
    desk = Desk()
    many = (
        resp([b"SUBSCRIBE", b"c"]) + resp([b"GET", b"k"]) + resp([b"SET", b"k", b"v"])
    )
    heard = b"".join(each for each, _, _ in desk.turns(0, many))
    assert heard.count(b"-ERR Can't execute") == 2
    assert not desk.table.size


def test_silence_is_kept() -> None:
    desk = Desk()
    off, on = ([b"CLIENT", b"REPLY", word] for word in (b"off", b"on"))
    many = [off, [b"SET", b"k", b"v"], [b"GET", b"k"], on, [b"GET", b"k"]]
    turns = desk.turns(0, b"".join(map(resp, many)))
    assert b"".join(each for each, _, _ in turns) == b"+OK\r\n$1\r\nv\r\n"
    assert sum(count for _, count, _ in turns) == 2
    assert any(ticket for _, _, ticket in turns)


def test_an_empty_request_counts_for_nothing() -> None:
    desk = Desk()
    assert desk.talks[0].hear(b"*0\r\n*-1\r\n" + resp([b"PING"])) == b"+PONG\r\n"
    assert desk.talks[0].answered == 1


def test_what_is_typed_waits_for_its_reader_too() -> None:
    desk = Desk()
    desk.say(0, b"SET", b"k", b"v" * MAX_VALUE_BYTES)
    talk = desk.talks[0]
    heard = talk.hear(b"GET k\r\n" * 5 + b"QUIT\r\nPING\r\n")
    assert talk.paused
    assert heard.count(b"$8388608") == 1
    for _ in range(5):
        heard = talk.hear(b"")
    assert heard == b"+OK\r\n"
    assert talk.ended


def test_a_reply_has_a_limit() -> None:
    desk = Desk()
    desk.say(0, b"SET", b"k", b"v" * MAX_VALUE_BYTES)
    assert desk.say(0, b"MGET", *[b"k"] * 8).startswith(b"*8\r\n")
    assert desk.say(0, b"MGET", *[b"k"] * 9).startswith(b"-ERR the reply has more than")


@pytest.mark.parametrize(
    "words",
    [
        [b"SET", b"k", b"v" * (MAX_VALUE_BYTES + 1)],
        [b"MSET", b"a", b"", b"k", b"v" * (MAX_VALUE_BYTES + 1)],
        [b"SET", b"k" * 65537, b"v"],
        [b"INCR", b"k" * 65537],
        [b"SETRANGE", b"k", b"8388608", b"v"],
        [b"PUBLISH", b"k", b"v" * (MAX_VALUE_BYTES + 1)],
    ],
    ids=lambda words: words[0].decode(),
)
def test_what_is_too_long_is_refused_by_name(words: list[bytes]) -> None:
    desk = Desk()
    answer = desk.say(0, *words)
    assert answer.startswith(b"-ERR ")
    assert b"8388608" in answer or b"65536" in answer
    assert not desk.table.size


@pytest.mark.parametrize("typed", [False, True])
def test_what_changes_the_conversation_rests_on_nothing(typed: bool) -> None:
    desk = Desk()
    words = [b"SET k v", b"GET k", b"HELLO 3", b"INCR n", b"SUBSCRIBE c", b"PING"]
    said = [line + b"\n" if typed else resp(line.split()) for line in words]
    turns = desk.turns(0, b"".join(said))
    assert [count for _, count, _ in turns] == [2, 1, 1, 1, 1]
    assert [bool(ticket) for _, _, ticket in turns] == [True, False, True, False, False]
    assert turns[1][0].startswith(b"%7\r\n")
    assert b"subscribe" in turns[3][0]
    assert not desk.talks[0].paused


def test_a_turn_ends_by_its_work_too() -> None:
    desk = Desk()
    assert len(desk.turns(0, resp([b"KEYS", b"*"]) * 5)) > 4
    assert 3 < len(desk.turns(0, resp([b"PING"]) * 10_000)) < 20
    assert len(desk.turns(0, resp([b"EXISTS", *[b"k"] * 10_000]) * 4)) > 4
    assert len(desk.turns(0, resp([b"SET", b"k", b"v"]) * 10_000)) == 1


def test_what_is_known_of_a_client_has_limits() -> None:
    desk = Desk()
    for words in (
        [b"CLIENT", b"SETNAME", bytes(1025)],
        [b"CLIENT", b"SETINFO", b"lib-name", b"n" * 1025],
        [b"HELLO", b"3", b"SETNAME", b"n" * 1025],
    ):
        assert b"at most 1024 bytes" in desk.say(0, *words)
    for kind in (b"FEED", b"SUBSCRIBE"):
        names = [b"%064d" % at * 1000 for at in range(50)]
        heard = desk.say(0, kind, *names)
    assert b"at most 4194304 bytes together" in heard
    desk.say(0, b"RESET")
    assert desk.talks[0].client.held_bytes == 0


def test_long_lists_of_what_is_asked_are_refused() -> None:
    desk = Desk()
    desk.say(0, b"CLIENT", b"SETNAME", b"n" * 1024)
    assert b"ask for less" in desk.say(0, b"CLIENT", b"LIST", b"ID", *[b"1"] * 70_000)
    assert b"at most 512" in desk.say(0, b"COMMAND", b"INFO", *[b"command"] * 513)
    assert b"at most 128" in desk.say(0, b"CONFIG", b"GET", *[b"a*"] * 129)


def test_a_scan_of_long_keys_is_short() -> None:
    desk = Desk()
    for at in range(300):
        desk.say(0, b"SET", b"%d" % at + bytes(MAX_KEY_BYTES - 3), b"")
    assert len(desk.say(0, b"SCAN", b"0", b"COUNT", b"8000")) < 9 << 20


def test_a_message_is_told_when_what_came_before_it_is_safe() -> None:
    desk = Desk()
    desk.say(0, b"SUBSCRIBE", b"c")
    desk.say(0, b"PSUBSCRIBE", b"?")
    desk.turns(1, resp([b"SET", b"k", b"v"]) + resp([b"PUBLISH", b"c", b"first"]))
    assert desk.say(1, b"PUBLISH", b"c", b"second") == b":2\r\n"
    assert desk.table.rests_on
    assert not desk.callers[0].pushed
    desk.commit()
    first, second = (desk.callers[0].pushed.find(word) for word in (b"first", b"secon"))
    assert 0 < first < second
    assert desk.say(1, b"PUBLISH", b"c", b"third") == b":2\r\n"
    assert desk.callers[0].pushed.count(b"third") == 2


def test_a_message_is_never_told_if_what_came_before_it_is_refused() -> None:
    desk = Desk()
    desk.say(0, b"SUBSCRIBE", b"c")
    desk.turns(1, resp([b"SET", b"k", b"v"]) + resp([b"PUBLISH", b"c", b"m"]))
    desk.table.refused()
    desk.say(1, b"SET", b"l", b"v")
    desk.commit()
    assert not desk.callers[0].pushed
    desk.say(1, b"PUBLISH", b"c", b"n")
    assert desk.callers[0].pushed


def test_the_patterns_of_all_clients_have_a_limit() -> None:
    desk = Desk()
    costly = [b"%02d*" % at + b"?*" * 30 for at in range(50)]
    assert b"too costly together" in desk.say(0, b"PSUBSCRIBE", *costly)
    desk.say(0, b"PUNSUBSCRIBE")
    assert b"too costly" not in desk.say(0, b"PSUBSCRIBE", *costly[:10])
    for who in (0, 1):
        for part in range(4):
            many = [b"%d-%d-%d*" % (who, part, at) for at in range(250)]
            desk.say(who, b"PSUBSCRIBE", *many)
    assert desk.server.listeners.patterns == 2010
