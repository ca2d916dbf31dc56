"""What peers tell each other of watched keys: in order, when it is safe, in bounds."""

import pytest

from shoal.core.machine import PeerId
from shoal.errors import MalformedMessage
from shoal.table.outbox import UNHEARD_BYTES, Outbox
from shoal.table.redis.server import Client
from shoal.table.tidings import (
    MAX_TOGETHER,
    TOLD_BYTES,
    Began,
    Changed,
    Declined,
    Lost,
    Watch,
    asked,
    packed,
    tidings,
)
from shoal.table.vigil import Vigil, Waiter
from tests.callers import Deaf


def outbox() -> Outbox:
    return Outbox(1, lambda _: None)


def test_nothing_overtakes_what_is_not_safe() -> None:
    box, fates = outbox(), {7: None, 8: ""}
    box.changed(b"a", b"1", 1)
    box.began(b"b", b"2", 2, 7)
    box.began(b"c", b"3", 3, 8)
    box.changed(b"b", b"4", 4)
    assert box.take(fates.get) == [Changed(b"a", b"1", 1)]
    assert box.waits(fates.get)
    assert box.take(fates.get) == []
    fates[7] = ""
    assert not box.waits(fates.get)
    rest = [Began(b"b", b"2", 2), Began(b"c", b"3", 3), Changed(b"b", b"4", 4)]
    assert box.take(fates.get) == rest


def test_what_cannot_be_made_safe_is_declined() -> None:
    box = outbox()
    box.began(b"a", b"1", 1, 7)
    assert box.take(lambda _: "NOSPACE") == [Declined(b"a", "NOSPACE")]


def test_much_is_told_in_pieces_and_too_much_is_not_kept() -> None:
    box = outbox()
    value = bytes(TOLD_BYTES // 2)
    for n in range(4):
        box.changed(b"a", value, n)
    assert [len(box.take(lambda _: "")) for _ in range(2)] == [2, 2]
    n = 0
    while not box.overfull:
        box.changed(b"a", value, n)
        n += 1
    assert n == UNHEARD_BYTES // len(value)


def test_nobody_watches_more_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.table.outbox.MAX_KEYS", 1)
    box = outbox()
    assert box.admit(b"a")
    assert box.admit(b"a")
    assert not box.admit(b"b")
    assert [type(each) for each in box.take(lambda _: "")] == [Declined]
    box.lost([b"a"])
    assert box.take(lambda _: "") == [Lost(b"a")]
    assert box.admit(b"b")


def waiter(key: bytes, told: list[bytes]) -> Waiter:
    return Waiter(Client(1, 0, Deaf(), told.append), key, told.append, 0.0)


def test_one_message_says_which_keys_at_a_time() -> None:
    vigil, first, second = Vigil(PeerId("b"), 5), list[bytes](), list[bytes]()
    vigil.want(waiter(b"k", first))
    assert vigil.ask() == Watch(5, True, [], [b"k"])
    vigil.want(waiter(b"k", second))
    assert vigil.ask() is None
    vigil.asking, vigil.opened = False, True
    assert vigil.ask() == Watch(5, False, [], [b"k"])
    assert [each.answer for each in vigil.answered(b"k")] == [first.append]
    vigil.unwant(b"k")
    assert [each.answer for each in vigil.answered(b"k")] == [second.append]
    assert vigil.answered(b"k") == []
    vigil.asking = False
    assert vigil.ask() is None, "somebody was about to watch it"
    assert vigil.idle


def test_what_is_wanted_again_is_given_up_before() -> None:
    vigil = Vigil(PeerId("b"), 5)
    vigil.opened = True
    for n in range(MAX_TOGETHER):
        vigil.unwant(b"%d" % n)
    vigil.unwant(b"k")
    vigil.want(waiter(b"k", []))
    watch = vigil.ask()
    assert watch
    assert watch.begun == [b"k"]
    assert b"k" in watch.ended
    assert len(watch.ended) == MAX_TOGETHER
    vigil.asking = False
    rest = vigil.ask()
    assert rest
    assert len(rest.ended) == 1
    assert rest.begun == []
    assert [each.key for each in vigil.give_up()] == [b"k"]


def test_what_nobody_would_say_is_refused() -> None:
    too_many = [b"k"] * (MAX_TOGETHER + 1)
    for junk in (b"", b"x", packed(Watch(1, False, [], too_many)), packed([9, 1])):
        with pytest.raises(MalformedMessage):
            asked(junk)
    with pytest.raises(MalformedMessage):
        tidings(packed([[1, "no bytes", None, 1]]))
