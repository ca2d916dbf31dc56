"""Rounds: what goes together, who is asked, and who waits for whom."""

from collections.abc import Iterator
from itertools import count
from random import Random

import pytest

from shoal.core.machine import PeerId, Send
from shoal.table.batches import Batch
from shoal.table.messages import Ballot, Member, View, Voter
from shoal.table.protocol import Table
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding
from shoal.table.replication.overdue import LATE_S
from shoal.table.replication.rounds import LINGER_S, LOST, PATIENCE_S, Rounds
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import peer_of
from shoal.table.slots import slot_of

ME, SECOND, THIRD = Voter("me~1"), Voter("second~1"), Voter("third~1")
KEY, ELSEWHERE = b"k", b"elsewhere"


class Scene:
    """One owner of all units, in a view of some."""

    def __init__(self, *voters: Voter) -> None:
        self.table = Table(Ballot(0, 0, PeerId("me"), 1), Random(1), logged=True)
        self.seat = Seat(ME, 1, self.table, Random(1))
        members = tuple(Member(voter, voter) for voter in voters)
        self.seat.seated([View(1, members)])
        self.seat.alive = {peer_of(voter): 0.0 for voter in voters}
        self.table.share()
        self.table.opened[:] = [False] * len(self.table.opened)
        self._holdings: dict[int, Holding] = {}
        self.rounds = Rounds(self.seat, self._holdings)
        for key in (KEY, ELSEWHERE):
            self.own(key, 1)

    def own(self, key: bytes, counter: int) -> None:
        unit = slot_of(key) >> 4
        ballot = Ballot(1, counter, PeerId(ME), 1)
        new = self.seat.new(unit)
        self._holdings[unit] = Holding(unit, ballot, None, new, state="open")
        self.table.open(unit, ballot)

    def replicas(self, key: bytes) -> set[Voter]:
        return set(self.seat.new(slot_of(key) >> 4).voters)

    def ours(self) -> Iterator[bytes]:
        """Some whose first replica we are, or another."""
        return (k for n in count() if ME in self.replicas(k := b"%d" % n))

    def lose(self, key: bytes) -> None:
        del self._holdings[slot_of(key) >> 4]
        self.rounds.lose(slot_of(key) >> 4)

    def put(self, key: bytes) -> int:
        """A batch that changes it, not told yet."""
        self.table.put(key, b"v")
        return self._closed()

    def read(self, key: bytes) -> int:
        """A batch that only reads it."""
        self.table.find(key)
        return self._closed()

    def _closed(self) -> int:
        batch = self.table.close_batch()
        assert batch, "something was done"
        self.rounds.add(batch)
        return batch.ticket

    def keep(self) -> None:
        """Our disk keeps all."""
        while batch := self.table.take():
            self.table.committed(batch.ticket)
        self.rounds.kept()

    def asked(self) -> list[tuple[PeerId, int]]:
        """Who was asked since, and in which round."""
        sent = [each for each in self.seat.take_effects() if isinstance(each, Send)]
        said = [(each.to, each.message.message) for each in sent]
        return [(to, what.round) for to, what in said if isinstance(what, say.Accept)]

    def answer(self, voter: Voter, number: int) -> None:
        self.rounds.accepted(voter, say.Accepted(1, number))


def test_what_was_passed_on_fails_with_what_it_was_passed_to() -> None:
    """A change under way, its tenure renewed and said again, and then lost."""
    scene = Scene(ME, SECOND)
    first = scene.put(KEY)
    scene.rounds.begin()
    scene.own(KEY, 2)
    scene.rounds.resume(slot_of(KEY) >> 4)
    batch = scene.table.close_batch()
    assert batch
    scene.rounds.add(batch)
    scene.rounds.begin()
    assert scene.table.fate(first) is None
    scene.lose(KEY)
    assert scene.table.fate(batch.ticket) == LOST
    assert scene.table.fate(first) == LOST
    assert scene.rounds.pace.unknown == 2


def test_what_has_a_majority_is_parted_from_what_has_none() -> None:
    """Two are silent who keep the one unit and not the other; and rounds follow."""
    scene = Scene(ME, *(Voter(f"p{n}~1") for n in range(4)))
    key = next(scene.ours())
    there = scene.replicas(key)
    other = next(k for k in scene.ours() if not scene.replicas(k) & there - {ME})
    scene.own(key, 1)
    scene.own(other, 1)
    scene.put(key)
    first = scene.put(other)
    scene.rounds.begin()
    second = scene.put(key)
    scene.rounds.begin()
    scene.keep()
    for number in (first, second):
        for voter in there:
            scene.answer(voter, number)
    assert scene.table.fate(first) is scene.table.fate(second) is None
    scene.seat.now = LATE_S + 1
    assert set(scene.rounds.overdue()) == {slot_of(k) >> 4 for k in (key, other)}
    scene.own(key, 2)
    scene.rounds.resume(slot_of(key) >> 4)
    again = scene.put(key)
    scene.rounds.begin()
    scene.keep()
    for voter in there:
        scene.answer(voter, again)
    assert scene.table.fate(again) == scene.table.fate(second) == ""
    assert scene.table.fate(first) is None


def test_what_comes_after_a_round_without_a_majority_is_overdue_too() -> None:
    """It has its own, by those who confirm what they read."""
    scene = Scene(ME, *(Voter(f"p{n}~1") for n in range(4)))
    key = next(scene.ours())
    there = scene.replicas(key)
    other = next(k for k in scene.ours() if not scene.replicas(k) & there - {ME})
    for each in (key, other):
        scene.own(each, 1)
    scene.put(other)
    scene.rounds.begin()
    scene.table.find(other)
    both = scene.put(key)
    scene.rounds.begin()
    scene.keep()
    for voter in there | scene.replicas(other):
        scene.answer(voter, both)
    assert scene.table.fate(both) is None
    scene.seat.now = LATE_S + 1
    assert set(scene.rounds.overdue()) == {slot_of(k) >> 4 for k in (key, other)}
    assert scene.rounds.overdue() == []  # Not so soon again.
    scene.lose(other)
    scene.rounds.begin()
    after = scene.put(key)
    scene.rounds.begin()
    scene.keep()
    for voter in there:
        scene.answer(voter, after)
    assert scene.table.fate(after) == ""


def test_what_comes_meanwhile_goes_together() -> None:
    scene = Scene(ME, SECOND, THIRD)
    first = scene.put(KEY)
    scene.rounds.go_on()
    assert sorted(scene.asked()) == [("second", first), ("third", first)]
    scene.put(KEY)
    last = scene.put(ELSEWHERE)
    scene.rounds.go_on()
    assert scene.asked() == []
    scene.keep()
    scene.answer(SECOND, first)
    scene.rounds.go_on()
    assert sorted(scene.asked()) == [("second", last), ("third", last)]
    assert scene.table.fate(last) is None
    scene.answer(THIRD, last)
    assert scene.table.fate(last - 1) == scene.table.fate(last) == ""
    assert scene.rounds.pace.rounds == 2


def test_a_slow_round_holds_the_next_up_for_a_moment_only() -> None:
    scene = Scene(ME, SECOND, THIRD)
    scene.put(KEY)
    scene.rounds.go_on()
    scene.asked()
    scene.put(ELSEWHERE)
    assert scene.rounds.deadline == LINGER_S
    scene.seat.now = LINGER_S
    scene.rounds.go_on()
    assert len(scene.asked()) == 2


def test_what_only_reads_waits_for_no_disk() -> None:
    scene = Scene(ME, SECOND, THIRD)
    scene.put(KEY)
    scene.rounds.go_on()
    scene.asked()
    reading = scene.read(ELSEWHERE)
    scene.rounds.go_on()
    ((asked, _),) = scene.asked()
    scene.answer(Voter(f"{asked}~1"), reading)
    assert scene.table.fate(reading) == ""


def test_a_read_asks_as_few_as_suffice_and_then_the_others() -> None:
    scene = Scene(ME, SECOND, THIRD)
    reading = scene.read(KEY)
    scene.rounds.go_on()
    ((first, _),) = scene.asked()
    scene.seat.now = scene.rounds.deadline
    scene.rounds.go_on()
    ((second, _),) = scene.asked()
    assert {first, second} == {"second", "third"}
    scene.answer(Voter(f"{second}~1"), reading)
    assert scene.table.fate(reading) == ""
    scene.read(KEY)
    scene.rounds.go_on()
    assert [to for to, _ in scene.asked()] == [second]  # The first let us wait.


def test_the_others_are_those_who_were_not_asked() -> None:
    """Whoever is slow, or gone, by then: the first let two rounds wait."""
    scene = Scene(ME, SECOND, THIRD)
    scene.read(KEY)
    scene.rounds.go_on()
    ((first, _),) = scene.asked()
    scene.seat.now = LINGER_S
    reading = scene.read(ELSEWHERE)
    scene.rounds.go_on()
    assert (first, reading) in scene.asked()
    scene.seat.now = 2 * LINGER_S
    del scene.seat.alive[first]
    scene.rounds.go_on()
    ((other, number),) = scene.asked()
    assert other != first
    assert number == reading


def test_of_two_a_read_asks_the_other() -> None:
    """Both are waited for while both are there, though the elder would do."""
    scene = Scene(ME, SECOND)
    reading = scene.read(KEY)
    scene.rounds.go_on()
    assert scene.asked() == [("second", reading)]
    assert scene.table.fate(reading) is None


def test_what_was_said_again_is_waited_for_in_whichever_round_it_goes() -> None:
    scene = Scene(ME, SECOND, THIRD)
    first = scene.put(KEY)
    scene.rounds.begin()
    scene.own(KEY, 2)
    scene.rounds.resume(slot_of(KEY) >> 4)
    again = scene.table.close_batch()
    assert again
    scene.rounds.add(again)
    last = scene.put(ELSEWHERE)
    scene.rounds.begin()
    scene.keep()
    assert scene.table.fate(first) is None
    scene.answer(SECOND, last)
    assert scene.table.fate(first) == scene.table.fate(again.ticket) == ""


def test_a_read_in_a_round_that_the_disk_refused_is_not_waited_for() -> None:
    scene = Scene(ME, SECOND, THIRD)
    change, reading = scene.put(KEY), scene.read(ELSEWHERE)
    scene.rounds.begin()
    scene.table.refused("NOSPACE")
    for key in (KEY, ELSEWHERE):
        scene.lose(key)
    scene.rounds.void()
    assert "UNKNOWN" in (scene.table.fate(reading) or "")
    assert scene.table.fate(change) not in ("", None)
    assert not scene.table.pending


def test_thousands_that_wait_for_one_are_told_when_it_is_safe() -> None:
    """A disk that is slow for a second holds up one change, and all who read it."""
    scene = Scene(ME, SECOND, THIRD)
    change = scene.put(KEY)
    scene.rounds.begin()
    for _ in range(1000):
        reading = scene.read(KEY)
        scene.rounds.begin()
        scene.answer(SECOND, reading)
    assert scene.table.fate(reading) is None
    scene.keep()
    scene.answer(SECOND, change)
    assert scene.table.fate(reading) == ""
    assert not scene.table.pending


def test_a_client_is_told_that_nobody_knows_when_its_patience_ends() -> None:
    scene = Scene(ME, SECOND, THIRD)
    change = scene.put(KEY)
    scene.rounds.begin()
    for tenth in range(1, int(10 * PATIENCE_S)):
        scene.seat.now = tenth / 10
        scene.rounds.tick()
    assert scene.table.fate(change) is None
    scene.seat.now = PATIENCE_S
    scene.rounds.tick()
    assert "UNKNOWN" in (scene.table.fate(change) or "")


def test_the_elder_of_two_waits_no_more_for_one_that_is_gone() -> None:
    scene = Scene(ME, SECOND)
    change = scene.put(KEY)
    scene.rounds.begin()
    scene.keep()
    assert scene.table.fate(change) is None
    del scene.seat.alive[peer_of(SECOND)]
    scene.rounds.gone()
    assert scene.table.fate(change) == ""


def test_nothing_that_was_lost_is_told_as_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has lost its unit is not safe by what it shares with the rounds before."""
    scene = Scene(ME, *(Voter(f"p{n}~1") for n in range(4)))
    key = next(scene.ours())
    other = next(
        k for k in scene.ours() if not scene.replicas(k) & scene.replicas(key) - {ME}
    )
    for each in (key, other):
        scene.own(each, 1)
    for keys in ((key, other), (other,), (key, other)):
        for each in keys:
            last = scene.put(each)
        scene.rounds.begin()
        for voter in scene.replicas(other):
            scene.answer(voter, last)
    scene.keep()
    fates: dict[int, str | None] = {}
    table, settle = scene.table, scene.table.settle

    def settled(batch: Batch) -> None:
        fates[batch.ticket] = table.fate(batch.ticket)
        settle(batch)

    monkeypatch.setattr(table, "settle", settled)
    scene.lose(key)
    assert fates == {1: LOST, 2: LOST, 3: None, 4: LOST, 5: LOST}
