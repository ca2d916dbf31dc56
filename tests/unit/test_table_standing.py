"""What peers say of themselves, put together; and logs that were begun anew."""

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.table.messages import (
    ERA,
    UNITS,
    Ballot,
    Birth,
    Group,
    Item,
    Member,
    Promise,
    Recovery,
    View,
    Voter,
)
from shoal.table.recovery import Remains
from shoal.table.replication.standing import Standing, lacking
from shoal.table.replication.views import anew, with_more, without
from shoal.table.slots import slot_of

A, B, C = (Voter(f"{name}~1") for name in "abc")
VIEW = View(7, (Member(A, "h1"), Member(B, "h2")))


def standing(me: Voter, units: range, **other: object) -> Standing:
    plain = Standing(
        me=me,
        view=4,
        members=[A, B],
        replicas=3,
        majority=True,
        guest=False,
        leaving=False,
        moving=0,
        keys_moved=0,
        held=UNITS,
        recovered=[],
        open=list(units),
        unsealed=0,
        unwhole=0,
        behind={},
    )
    return replace(plain, **other)


HALF = UNITS // 2
LOW, HIGH = range(HALF), range(HALF, UNITS)


@dataclass(frozen=True)
class Case:
    """What peers say, and what is lacking: in these words, if anything."""

    told: list[Standing]
    lacks: str | None
    silent: tuple[str, ...] = ()
    enough: int | None = None


WHOLE = [standing(A, LOW), standing(B, HIGH)]
CASES = [
    Case(WHOLE, None),
    Case([], "the table to be opened", ("a",)),
    Case(WHOLE[:1], "b to answer", ("b",)),
    Case([standing(A, range(UNITS))], None, ("b",), 1),
    Case([standing(A, range(UNITS), behind={B: 9})], None, ("b",), 1),
    Case(WHOLE, "3 members, where there are 2", (), 3),
    Case([standing(A, LOW), standing(B, HIGH, view=3)], "b to come to view 4"),
    Case([standing(A, LOW), standing(B, range(HALF, UNITS - 2))], "2 of 1024 units"),
    Case([standing(A, LOW), standing(B, LOW)], f"{HALF} of 1024 units"),
    Case([standing(A, LOW, unsealed=5), WHOLE[1]], "5 units to move"),
    Case([standing(A, LOW, behind={B: 3}), WHOLE[1]], "b to get its copies of 3"),
    Case([*WHOLE, standing(C, range(0))], "c to become a member"),
    Case([*WHOLE, standing(C, range(0))], None, (), 2),
    Case(WHOLE, "c to become a member", ("c",)),
    Case([*WHOLE, standing(C, range(0), guest=True)], None),
    Case([standing(A, LOW, leaving=True), WHOLE[1]], "a to leave"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.lacks))
def test_what_is_lacking_is_said(case: Case) -> None:
    told = {PeerId(each.me.partition("~")[0]): each for each in case.told}
    everybody = {**told, **dict.fromkeys(map(PeerId, case.silent))}
    lacks = lacking(everybody, case.enough)
    assert (lacks is None) == (case.lacks is None)
    assert (case.lacks or "") in (lacks or "")


def test_a_later_era_is_told_from_every_honest_view() -> None:
    recovery = Recovery(1_700_000_000, PeerId("b"))
    fresh = anew(VIEW, VIEW.members[1], recovery, skipped=2)
    assert (fresh.number, fresh.era, fresh.first) == (3 * ERA + 1, 3, True)
    assert fresh.members == (VIEW.members[1],)
    grown = with_more(fresh, [Member(C, "h3")])
    for each in (fresh, grown, without(grown, C)):
        assert each.recovered == (recovery,)
    assert not grown.first


def _record(key: bytes) -> tuple[int, bytes, int, int, bytes]:
    return slot_of(key), key, 1, 0, b"v"


BALLOT = Ballot(7, 1, PeerId(A), 1)
PAST: list[Item] = [
    Birth(1),
    VIEW,
    Promise(BALLOT, [1, 2]),
    Group(BALLOT, [_record(b"old")]),
]


def test_nothing_before_a_later_era_counts_as_a_view() -> None:
    fresh = anew(VIEW, VIEW.members[1], Recovery(1, PeerId("b")), skipped=0)
    remains = Remains([*PAST, fresh])
    assert remains.views == [fresh]
    assert remains.entries
    assert remains.promised


def test_a_log_begun_anew_has_no_past() -> None:
    remains = Remains([*PAST, Birth(5), Group(BALLOT, [_record(b"new")])])
    assert remains.birth == 5
    assert list(remains.entries) == [b"new"]
    assert (remains.views, remains.promised) == ([], {})


def test_a_log_that_says_its_birth_again_keeps_its_past() -> None:
    remains = Remains([*PAST, Birth(1)])
    assert list(remains.entries) == [b"old"]
    assert remains.views == [VIEW]
