"""Ranking and placement against plainer ones that are obviously right."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from shoal.core.machine import PeerId
from shoal.core.ring import Placement, copies_moved, place, ranking, weight

Members = dict[PeerId, str]

UNBOUND = 1000  # Percent of a share of at least a seventh: more than all units.

peers = st.text("abcdef", min_size=1, max_size=2).map(PeerId)
member_maps = st.sampled_from(["U", "UV", "UUUV", "UUVW", "UVWXYZ"]).flatmap(
    lambda hosts: st.dictionaries(peers, st.sampled_from(hosts), max_size=6)
)
replica_counts = st.integers(1, 5)


def apart(count: int) -> Members:
    """So many members, each on its own host."""
    return {PeerId(f"peer-{number}"): f"host-{number}" for number in range(count)}


def loads(placement: Placement) -> Counter[PeerId]:
    return Counter(peer for replicas in placement for peer in replicas)


# Ranking.


@given(st.sets(peers, max_size=6), st.text())
def test_ranking_takes_the_heaviest_first(members: set[PeerId], label: str) -> None:
    def heaviest(left: set[PeerId]) -> list[PeerId]:
        if not left:
            return []
        first = max(left, key=lambda member: (weight(member, label), member))
        return [first, *heaviest(left - {first})]

    assert ranking(label, members) == heaviest(members)


def test_ranking_by_eye() -> None:
    hash_of = {b"ann tea": 2, b"bob tea": 9, b"cid tea": 2}.__getitem__
    assert ranking("tea", ["ann", "bob", "cid"], hash_of=hash_of) == [
        "bob",
        "cid",
        "ann",
    ]


def test_ranking_is_the_same_for_everybody() -> None:
    assert weight("ann", "zebra") == 185579546432902243
    assert ranking("zebra", ["ann", "bob", "cid", "dot", "eve"]) == [
        "cid",
        "bob",
        "dot",
        "eve",
        "ann",
    ]


def test_a_label_that_is_no_unicode_has_an_owner_too() -> None:
    assert ranking("\udcff", ["ann"]) == ["ann"]


@given(st.sets(peers, max_size=6), peers, st.text())
def test_1_20_a_newcomer_takes_labels_and_moves_no_other(
    members: set[PeerId], newcomer: PeerId, label: str
) -> None:
    before = ranking(label, members - {newcomer})
    after = ranking(label, members | {newcomer})
    assert after[0] in (*before[:1], newcomer)
    assert [member for member in after if member != newcomer] == before


# Placement: what it is.


def test_the_draft_by_eye() -> None:
    """Ann and Bob share a host, so a unit takes one of them and Cid."""
    hash_of = {
        b"ann 0": 90, b"ann 1": 50, b"ann 2": 10,  # Claims 0, then 1, then 2.
        b"bob 0": 80, b"bob 1": 70, b"bob 2": 60,  # So does Bob, but less of 0.
        b"cid 0": 20, b"cid 1": 30, b"cid 2": 85,  # Claims 2, then 1, then 0.
    }.__getitem__  # fmt: skip
    members = {PeerId("ann"): "attic", PeerId("bob"): "attic", PeerId("cid"): "barn"}
    assert place(members, replicas=2, units=3, hash_of=hash_of) == [
        ("ann", "cid"),  # Round 1: Ann over Bob. Round 3: Cid.
        ("bob", "cid"),  # Round 2: Bob over Ann, and Cid.
        ("cid", "bob"),  # Round 1: Cid. Round 3: Bob over Ann. His bound is 2.
    ]


def spreads(members: Members, replicas: int) -> list[set[PeerId]]:
    """Every choice of members in which no host could hand a copy to one with less."""
    crowds = Counter(members.values())

    def even(chosen: tuple[PeerId, ...]) -> bool:
        held = Counter(members[peer] for peer in chosen)
        return not any(
            held[rich] - held[poor] > 1 and held[poor] < crowds[poor]
            for rich in crowds
            for poor in crowds
        )

    return [set(chosen) for chosen in combinations(members, replicas) if even(chosen)]


def plain_bounds(
    members: Members, choices: list[set[PeerId]], units: int, slack: Fraction
) -> dict[PeerId, int]:
    """Try shares from none upwards, until the hosts together keep all copies."""
    crowds = Counter(members.values())
    held = {
        host: [sum(members[peer] == host for peer in chosen) for chosen in choices]
        for host in crowds
    }

    def kept(host: str, share: Fraction) -> Fraction:
        least, most = units * min(held[host]), units * max(held[host])
        return min(max(share * crowds[host], Fraction(least)), Fraction(most))

    bound = 0
    while sum(kept(host, bound / slack) for host in crowds) < units * len(choices[0]):
        bound += 1
    return {
        peer: ceil(slack * kept(host, bound / slack) / crowds[host])
        for peer, host in members.items()
    }


def plain_place(members: Members, replicas: int, units: int, percent: int) -> Placement:
    """Write all claims down, sort them, grant each one that an even choice can hold."""
    choices = spreads(members, min(replicas, len(members)))
    room = plain_bounds(members, choices, units, Fraction(percent, 100))
    claims = []
    for peer in members:
        weighed = [(weight(peer, str(unit)), unit) for unit in range(units)]
        for rank, (weighs, unit) in enumerate(sorted(weighed, reverse=True)):
            claims.append((-rank, weighs, peer, unit))
    taken: list[list[PeerId]] = [[] for _ in range(units)]
    while any(len(chosen) < len(choices[0]) for chosen in taken):
        for _, _, peer, unit in sorted(claims, reverse=True):
            wanted = {*taken[unit], peer}
            if (
                room[peer]
                and peer not in taken[unit]
                and any(wanted <= choice for choice in choices)
            ):
                taken[unit].append(peer)
                room[peer] -= 1
        room = {peer: left + 1 for peer, left in room.items()}
    return [tuple(chosen) for chosen in taken]


@given(
    member_maps,
    replica_counts,
    st.integers(1, 24),
    st.sampled_from([100, 115, UNBOUND]),
)
def test_placement_matches_the_plain_draft(
    members: Members, replicas: int, units: int, percent: int
) -> None:
    assert place(
        members, replicas=replicas, units=units, bound_percent=percent
    ) == plain_place(members, replicas, units, percent)


@pytest.mark.parametrize("percent", [100, 115])
@pytest.mark.parametrize(
    ("hosts", "replicas"), [("UVWWXX", 3), ("UUUUVV", 3), ("UUVVVWW", 4), ("UUUVV", 3)]
)
def test_bounds_that_leave_no_choice_rise_one_by_one(
    hosts: str, replicas: int, percent: int
) -> None:
    """With no slack at all they rise up to six times for these hosts."""
    members = {PeerId(name): host for name, host in zip("abcdefg", hosts, strict=False)}
    assert place(
        members, replicas=replicas, units=64, bound_percent=percent
    ) == plain_place(members, replicas, 64, percent)


def test_placement_is_the_same_for_everybody() -> None:
    members = {PeerId(name): name for name in ("ann", "bob", "cid", "dot", "eve")}
    placement = place(members)
    assert placement[:4] == [
        ("bob", "dot", "ann"),
        ("eve", "dot", "bob"),
        ("dot", "ann", "bob"),
        ("cid", "eve", "ann"),
    ]
    assert loads(placement) == {
        "cid": 624,
        "bob": 619,
        "dot": 617,
        "eve": 612,
        "ann": 600,
    }
    assert xxh3_64_intdigest(repr(placement).encode()) == 0xD102867DAADF0460


# Placement: what it promises.


@given(member_maps, replica_counts)
def test_every_unit_is_spread_over_members_and_hosts(
    members: Members, replicas: int
) -> None:
    choices = spreads(members, min(replicas, len(members)))
    for chosen in place(members, replicas=replicas, units=16):
        assert len(chosen) == min(replicas, len(members))
        assert set(chosen) in choices


def test_nobody_keeps_nothing() -> None:
    assert place({}, units=2) == [(), ()]


@pytest.mark.parametrize("crowd", [1, 2, 4])
@pytest.mark.parametrize("count", [4, 8, 12, 20])
def test_nobody_keeps_more_than_the_bound(count: int, crowd: int) -> None:
    members = {PeerId(f"peer-{n}"): f"host-{n // crowd}" for n in range(count)}
    assert max(loads(place(members)).values()) <= ceil(1.15 * 3 * 1024 / count)


def test_who_is_alone_on_a_host_keeps_what_the_crowded_leave() -> None:
    """Ann and Bob are one host's share of three: every unit has one of them."""
    members = apart(3) | {PeerId("ann"): "attic", PeerId("bob"): "attic"}
    kept = loads(place(members, replicas=4))
    assert kept[PeerId("ann")] + kept[PeerId("bob")] == 1024
    assert [kept[peer] for peer in apart(3)] == [1024] * 3


@given(member_maps, peers, st.sampled_from("UVWXYZ"), replica_counts)
def test_1_20_without_a_bound_only_the_newcomer_gains(
    members: Members, newcomer: PeerId, host: str, replicas: int
) -> None:
    """And read backwards: what leaves with a member is all that moves."""
    members.pop(newcomer, None)
    before = place(members, replicas=replicas, units=8, bound_percent=UNBOUND)
    grown = members | {newcomer: host}
    after = place(grown, replicas=replicas, units=8, bound_percent=UNBOUND)
    for old, new in zip(before, after, strict=True):
        assert set(new) - set(old) <= {newcomer}
        assert new[0] in (*old[:1], newcomer)


@pytest.fixture(scope="module")
def tides() -> list[tuple[Members, Placement]]:
    """Three times from 3 members to 20 and back: 51 joins and 51 leaves."""
    rng = Random(20)
    members = apart(3)
    seen = [dict(members)]
    for _ in range(3):
        while len(members) < 20:
            name = f"peer-{rng.randrange(10**9)}"
            members[PeerId(name)] = name
            seen.append(dict(members))
        while len(members) > 3:
            del members[rng.choice(list(members))]
            seen.append(dict(members))
    return [(members, place(members)) for members in seen]


def test_1_20_a_change_moves_at_most_a_fifth_more_than_its_share(
    tides: list[tuple[Members, Placement]],
) -> None:
    """Every move beyond the newcomer's or the leaver's own copies is the bound's."""
    for (old, before), (new, after) in pairwise(tides):
        share = 3 * 1024 / max(len(old), len(new))
        moved = copies_moved(before, after)
        [changed] = old.keys() ^ new.keys()
        necessary = loads(before)[changed] + loads(after)[changed]
        assert moved <= 1.2 * share
        assert moved - necessary <= 0.02 * share


def test_joins_and_leaves_keep_the_bound(
    tides: list[tuple[Members, Placement]],
) -> None:
    for members, placement in tides:
        kept = loads(placement)
        assert max(kept.values()) <= ceil(1.15 * 3 * 1024 / len(members))
        assert min(kept.values()) >= 0.8 * 3 * 1024 / len(members)


@given(member_maps, replica_counts, st.randoms(use_true_random=False))
def test_1_21_whatever_the_order_the_placement_is_identical(
    members: Members, replicas: int, rng: Random
) -> None:
    order = rng.sample(list(members), len(members))
    shuffled = {peer: members[peer] for peer in order}
    assert place(shuffled, replicas=replicas, units=8) == place(
        members, replicas=replicas, units=8
    )


def test_moved_copies_are_those_on_members_that_did_not_have_them() -> None:
    ann, bob, cid = map(PeerId, ("ann", "bob", "cid"))
    assert copies_moved([(ann, bob), (cid,)], [(bob, cid), (cid,)]) == 1
    assert copies_moved([(ann, bob), (ann,)], [(bob, ann), ()]) == 0
