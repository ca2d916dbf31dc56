"""Who decides: against counting, and against every pair of sets that could decide."""

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot, Member, View, Voter
from shoal.table.replication.holdings import Holding, decided
from shoal.table.replication.views import (
    Circle,
    Circles,
    birth_of,
    peer_of,
    voter_of,
    with_more,
    without,
)

NAMES = [Voter(f"p{n}~1") for n in range(7)]
BALLOT = Ballot(view=3, counter=2, peer=PeerId("p0~1"), start=1)


def circle(*numbers: int, elder: int | None = None) -> Circle:
    first = numbers[0] if elder is None else elder
    return Circle(tuple(NAMES[n] for n in numbers), NAMES[first])


def subsets(voters: tuple[Voter, ...]) -> Iterator[frozenset[Voter]]:
    for size in range(len(voters) + 1):
        for some in combinations(voters, size):
            yield frozenset(some)


def deciding(one: Circle) -> list[frozenset[Voter]]:
    return [some for some in subsets(one.voters) if one.decided(some)]


@pytest.mark.parametrize(
    ("size", "elder"), [(s, e) for s in range(1, 7) for e in range(s)]
)
def test_any_two_deciding_sets_meet_and_one_side_can_always_decide(
    size: int, elder: int
) -> None:
    voters = circle(*range(size), elder=elder)
    sets = deciding(voters)
    assert all(one & other for one, other in product(sets, sets))
    for some in subsets(voters.voters):
        rest = frozenset(voters.voters) - some
        assert voters.decided(some) != voters.decided(rest)


@pytest.mark.parametrize(
    ("size", "elder"), [(s, e) for s in (2, 4, 6) for e in range(s)]
)
def test_the_eldest_breaks_a_tie_and_nobody_else(size: int, elder: int) -> None:
    voters = circle(*range(size), elder=elder)
    for half in combinations(voters.voters, size // 2):
        assert voters.decided(half) == (NAMES[elder] in half)


def test_strangers_do_not_count() -> None:
    voters = circle(0, 1, 2)
    assert not voters.decided([NAMES[0], NAMES[4], NAMES[5]])
    assert not voters.decided([NAMES[0], NAMES[0]])
    assert not voters.whole([NAMES[0], NAMES[1], NAMES[4]])
    assert voters.whole(NAMES)


@pytest.mark.parametrize("old_size", range(1, 5))
@pytest.mark.parametrize("new_size", range(1, 5))
def test_who_decides_on_a_move_meets_who_decided_before_and_who_will(
    old_size: int, new_size: int
) -> None:
    """Whatever the two circles have in common."""
    old = circle(*range(old_size))
    for shared in range(min(old_size, new_size) + 1):
        numbers = [*range(shared), *range(old_size, 7)][:new_size]
        if len(numbers) < new_size:
            continue
        new = circle(*numbers)
        everybody = tuple(dict.fromkeys([*old.voters, *new.voters]))
        joint = [s for s in subsets(everybody) if decided((old, new), list(s))]
        assert joint
        assert all(one & other for one, other in product(joint, deciding(old)))
        assert all(one & other for one, other in product(joint, deciding(new)))
        alone = [s for s in subsets(everybody) if decided((None, new), list(s))]
        assert {s & frozenset(new.voters) for s in alone} == set(deciding(new))


# Views


def view(*names: int, number: int = 2, replicas: int = 3) -> View:
    members = tuple(Member(NAMES[n], f"host-{n}") for n in names)
    return View(number, members, replicas)


def test_every_unit_has_its_replicas_and_the_eldest_of_them_is_the_elder() -> None:
    circles = Circles(view(4, 2, 0, 5, 1), units=64)
    seniority = [NAMES[n] for n in (4, 2, 0, 5, 1)]
    assert circles.all.elder == NAMES[4]
    for each in circles.units:
        assert len(set(each.voters)) == 3
        assert each.elder == next(v for v in seniority if v in each.voters)
    objects = {id(each): frozenset(each.voters) for each in circles.units}
    assert (
        len(set(objects.values()))
        <= len(objects)
        <= len({each.voters for each in circles.units})
    )


def test_fewer_members_than_replicas_are_all_replicas() -> None:
    for count in (1, 2, 3):
        for each in Circles(view(*range(count)), units=16).units:
            assert set(each.voters) == set(NAMES[:count])


def test_what_has_moved_is_what_has_other_replicas() -> None:
    before = Circles(view(0, 1, 2, 3), units=64)
    after = Circles(view(0, 1, 2, 3, 4, number=3), units=64)
    plainly = [
        unit
        for unit in range(64)
        if sorted(after.units[unit].voters) != sorted(before.units[unit].voters)
    ]
    assert after.moved_from(before) == plainly
    assert 0 < len(plainly) < 64
    assert before.moved_from(before) == []


def test_a_voter_is_a_peer_with_its_log() -> None:
    voter = voter_of(PeerId("a~b"), 17)
    assert (peer_of(voter), birth_of(voter)) == ("a~b", 17)
    assert birth_of(Voter("a~-3")) == birth_of(Voter("a~x")) == 0


def test_a_new_life_of_a_peer_replaces_the_old_one_and_is_the_youngest() -> None:
    newcomers = [Member(voter_of(PeerId("p0"), 9), "host-0")]
    after = with_more(view(0, 1, 2), newcomers)
    assert [each.voter for each in after.members] == [NAMES[1], NAMES[2], "p0~9"]
    assert after.number == 3
    left = without(after, NAMES[1])
    assert [each.voter for each in left.members] == [NAMES[2], "p0~9"]
    assert left.number == 4


# Holdings


def holding(old: Circle | None, new: Circle, former: Holding | None = None) -> Holding:
    return Holding(1, BALLOT, old, new, former)


def test_everybody_is_asked_once_and_the_old_ones_are_learned_from() -> None:
    moving = holding(circle(0, 1, 2), circle(2, 3, 0))
    assert moving.voters == [NAMES[2], NAMES[3], NAMES[0], NAMES[1]]
    assert moving.learned_from is moving.old
    moving.old = None
    assert moving.voters == [NAMES[2], NAMES[3], NAMES[0]]
    assert moving.learned_from is moving.new


def test_a_unit_is_sealed_when_it_is_open_and_enough_new_ones_are_level() -> None:
    moving = holding(circle(0, 1, 2), circle(2, 3, 4))
    moving.state, moving.level = "open", dict.fromkeys(NAMES[:3])
    assert not moving.sealing  # Only one of them is new.
    moving.level[NAMES[4]] = None
    assert moving.sealing
    assert not moving.whole
    moving.state = "learning"
    assert not moving.sealing
    moving.state, moving.level = "resealing", {}
    assert moving.sealing
    moving.old = None
    assert not moving.sealing


def test_a_unit_is_whole_when_all_new_ones_are_level_and_no_others_count() -> None:
    moving = holding(circle(0, 1, 2), circle(2, 3, 4))
    moving.level = dict.fromkeys(NAMES)
    assert not moving.whole
    moving.old = None
    assert moving.whole
    del moving.level[NAMES[3]]
    assert not moving.whole


@pytest.mark.parametrize("old", [None, circle(0, 1, 2)])
def test_nobody_came_between_if_enough_had_promised_the_former_tenure_alone(
    old: Circle | None,
) -> None:
    """Enough of those who decided in the former tenure, whoever decides in this one."""
    former, rival = holding(old, circle(2, 3, 4)), Ballot(3, 1, PeerId("x"), 1)
    for said in product([BALLOT, rival, None], repeat=5):
        renewed = holding(None, circle(0, 1), former)
        renewed.granted = dict(zip(NAMES, said, strict=False))
        same = [name for name, before in renewed.granted.items() if before == BALLOT]
        new = sum(name in same for name in NAMES[2:5]) >= 2
        before = old is None or sum(name in same for name in NAMES[:3]) >= 2
        assert renewed.undisturbed() == (new and before)
    assert not holding(None, circle(0, 1)).undisturbed()
