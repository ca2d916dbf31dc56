"""Sums and portions of copies, against comparing and counting them plainly."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.machine import PeerId
from shoal.table.batches import Copy
from shoal.table.messages import Ballot, Entry, Grave, Group
from shoal.table.replication.copies import (
    FETCHED_BYTES,
    grouped,
    part_of,
    parted,
    portioned,
    record_of,
    sums,
    weigh,
)
from shoal.table.replication.messages import PARTS
from shoal.table.slots import slot_of

ballots = st.builds(
    Ballot, st.integers(1, 2), st.integers(1, 2), st.just(PeerId("p")), st.just(1)
)
entries = st.builds(
    Entry, st.binary(max_size=3), st.integers(0, 2), ballots, st.integers(1, 3)
)
graves = st.builds(Grave, ballots, st.integers(1, 3))
holdings = st.dictionaries(st.binary(max_size=2), entries | graves, max_size=8)

Held = dict[bytes, Copy]


def listed(held: Held) -> list[tuple[int, bytes, Copy]]:
    return [(slot_of(key), key, copy) for key, copy in held.items()]


def versions(held: Held, part: int) -> set[tuple[bytes, Ballot, int]]:
    return {
        (key, copy.ballot, copy.sequence)
        for key, copy in held.items()
        if part_of(key) == part
    }


@given(holdings, holdings)
def test_sums_are_the_same_just_where_all_versions_are(one: Held, other: Held) -> None:
    pairs = zip(sums(listed(one)), sums(listed(other)), strict=True)
    same = [mine == theirs for mine, theirs in pairs]
    plainly = [versions(one, n) == versions(other, n) for n in range(PARTS)]
    assert same == plainly


@given(holdings)
def test_sums_do_not_depend_on_the_order(held: Held) -> None:
    assert sums(listed(held)) == sums(listed(held)[::-1])


@given(holdings, st.sets(st.integers(0, PARTS - 1)))
def test_parts_hold_what_is_in_them(held: Held, parts: set[int]) -> None:
    found = parted(listed(held), sorted(parts))
    assert sorted(found) == sorted(parts)
    for part, inside in found.items():
        assert inside == [each for each in listed(held) if part_of(each[1]) == part]


def laid(groups: list[Group]) -> Held:
    """What a replica holds that was told all this."""
    held: Held = {}
    for group in groups:
        for slot, key, sequence, deadline_ms, value in group.records:
            assert slot == slot_of(key)
            assert key not in held
            held[key] = (
                Grave(group.ballot, sequence)
                if value is None
                else Entry(value, deadline_ms, group.ballot, sequence)
            )
    return held


@given(holdings)
def test_what_travels_is_what_is_held(held: Held) -> None:
    groups = grouped(held.items())
    assert laid(groups) == held
    assert len({group.ballot for group in groups}) == len(groups)
    for key, copy in held.items():
        record = record_of(key, copy)
        assert (record[4] is None) == isinstance(copy, Grave)


@given(st.lists(st.integers(0, FETCHED_BYTES), max_size=12))
def test_portions_are_all_of_it_and_each_has_room_in_a_message(
    sizes: list[int],
) -> None:
    ballot = Ballot(1, 1, PeerId("p"), 1)
    held: Held = {
        b"%d" % n: Entry(bytes(size), 0, ballot, n + 1) for n, size in enumerate(sizes)
    }
    portions = list(portioned(held.items()))
    assert laid([group for portion in portions for group in portion]) == held
    for portion in portions:
        weights = [weigh(key, copy) for key, copy in laid(portion).items()]
        assert sum(weights[:-1]) <= FETCHED_BYTES
        assert weights
    for portion in portions[:-1]:  # None is sent that another had room for.
        assert sum(weigh(*each) for each in laid(portion).items()) > FETCHED_BYTES
