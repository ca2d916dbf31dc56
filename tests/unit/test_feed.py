"""Who watches a key is told of every change once, in order, when it is safe."""

from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.table.messages import UNIT_BITS, Ballot
from shoal.table.protocol import Table
from shoal.table.redis.replies import Push, encode
from shoal.table.redis.talk import RedisTalk
from shoal.table.slots import slot_of
from tests.callers import Deaf, server_of
from tests.conformance.redis_wire import resp


class Desk:
    """A table, one who watches and one who changes."""

    def __init__(self, *, logged: bool = True) -> None:
        self.table = Table(Ballot(1, 1, PeerId("p"), 1), Random(0), logged=logged)
        self.server = server_of(self.table)
        self.watching, self.changing = Deaf(), Deaf()
        self._talks = {
            caller: RedisTalk(self.server, caller)
            for caller in (self.watching, self.changing)
        }

    def watch(self, *keys: bytes) -> bytes:
        return self._say(self.watching, b"FEED", *keys)

    def say(self, *words: bytes) -> bytes:
        return self._say(self.changing, *words)

    def _say(self, caller: Deaf, *words: bytes) -> bytes:
        self.table.begin(1000)
        return self._talks[caller].hear(resp(list(words)))

    def commit(self) -> None:
        batch = self.table.take()
        assert batch
        self.table.committed(batch.ticket)

    def leave(self) -> None:
        self._talks[self.watching].close()


def change(key: bytes, value: bytes | None) -> bytes:
    return encode(Push([b"change", key, value]), 2)


def test_a_change_is_told_when_it_is_safe() -> None:
    desk = Desk()
    assert desk.watch(b"k") == encode(Push([b"feed", b"k", None]), 2)
    desk.say(b"SET", b"k", b"1")
    desk.say(b"SET", b"other", b"2")
    desk.say(b"INCR", b"k")
    assert desk.watching.pushed == b""
    desk.commit()
    assert desk.watching.pushed == change(b"k", b"1") + change(b"k", b"2")


def test_what_was_refused_is_never_told() -> None:
    desk = Desk()
    desk.watch(b"k")
    desk.say(b"SET", b"k", b"1")
    desk.table.refused()
    desk.say(b"SET", b"k", b"2")
    desk.commit()
    assert desk.watching.pushed == change(b"k", b"2")


def test_who_comes_between_change_and_commit_is_told_of_it_once() -> None:
    desk = Desk()
    desk.say(b"SET", b"k", b"1")
    desk.say(b"FLUSHALL")
    desk.say(b"SET", b"k", b"2")
    assert desk.watch(b"k") == resp([b"feed", b"k", b"2"])
    desk.say(b"SET", b"k", b"3")
    desk.commit()
    assert desk.watching.pushed == change(b"k", b"3")


@pytest.mark.parametrize("logged", [True, False])
def test_ends_and_flushes_are_changes(logged: bool) -> None:
    desk = Desk(logged=logged)
    desk.watch(b"a", b"b")
    desk.say(b"SET", b"a", b"1")
    desk.say(b"DEL", b"a")
    desk.say(b"SET", b"b", b"1", b"PX", b"1")
    desk.table.begin(1001)
    desk.table.find(b"b")
    desk.say(b"SET", b"a", b"2")
    desk.say(b"FLUSHALL")
    if logged:
        desk.commit()
    ends = change(b"a", b"1") + change(b"a", None)
    ends += change(b"b", b"1") + change(b"b", None) + change(b"a", b"2")
    both = change(b"a", None) + change(b"b", None)
    assert desk.watching.pushed == ends + both


def test_who_leaves_is_forgotten() -> None:
    desk = Desk()
    desk.watch(b"k", b"k")
    assert desk.table.feed is desk.server.feed
    desk.leave()
    assert desk.table.feed is None
    desk.say(b"SET", b"k", b"1")
    desk.commit()
    assert desk.watching.pushed == b""


def test_who_watches_what_is_given_up_is_cut_off() -> None:
    desk = Desk()
    desk.watch(b"k", b"k2")
    unit = slot_of(b"other") >> UNIT_BITS
    assert unit != slot_of(b"k") >> UNIT_BITS
    desk.table.close(unit)
    assert not desk.watching.ended
    desk.say(b"SET", b"k", b"1")
    desk.table.close(slot_of(b"k") >> UNIT_BITS)
    assert desk.watching.ended
    desk.commit()
    assert desk.watching.pushed == b"", "nobody knows whether it was done"
    desk.leave()
    assert desk.table.feed is None


def test_what_others_own_is_not_told_when_it_is_kept() -> None:
    desk = Desk()
    desk.watch(b"k")
    desk.say(b"SET", b"k", b"1")
    theirs = Ballot(1, 2, PeerId("q"), 1)
    desk.table.accept(theirs, [(slot_of(b"k"), b"k", 100, 0, b"2")])
    desk.commit()
    assert desk.watching.pushed == change(b"k", b"1")


def test_nobody_watches_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.table.redis.feed.MAX_WATCHED", 2)
    desk = Desk()
    desk.watch(b"a", b"b")
    assert b"at most 2 keys" in desk.watch(b"c")
