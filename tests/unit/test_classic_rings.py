"""The classic rings against golden values, and against plainer ones."""

from collections import Counter
from hashlib import md5, sha256
from random import Random
from statistics import pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.classic_rings import (
    HASH_PAIRS,
    POINTS,
    SLOTS,
    HashPair,
    InvalidRing,
    Moves,
    Probe,
    SlotRing,
    fixed_owner,
    linear,
    moves,
    quadratic,
    successors,
    traffic,
)

SIX_DIGITS = range(100_000, 1_000_000)

server_sets = st.sets(st.integers(1, 99), max_size=56)
pairs = st.sampled_from(list(HASH_PAIRS.values()))
probes = st.sampled_from([linear, quadratic])


def slots_of(ring: SlotRing) -> dict[int, set[int]]:
    return {
        server: {slot for slot in range(SLOTS) if ring.slots[slot] == server}
        for server in ring.servers
    }


# The fixed group.


def test_0_3_owners_in_a_group_of_eight() -> None:
    keys = [b"abc", b"hello", b"", b"100000", b"199999"]
    assert [fixed_owner(key, 8) for key in keys] == [2, 2, 6, 3, 1]


def test_0_3_the_keys_of_each_of_eight_nodes() -> None:
    owned = Counter(fixed_owner(b"%d" % key, 8) for key in range(100_000, 200_000))
    assert [owned[node] for node in range(8)] == [
        12554, 12457, 12820, 12360, 12346, 12552, 12322, 12589
    ]  # fmt: skip


@given(st.binary(), st.integers(1, 20))
def test_0_3_the_owner_is_the_whole_digest_modulo_n(key: bytes, nodes: int) -> None:
    assert fixed_owner(key, nodes) == int(md5(key).hexdigest(), 16) % nodes


def test_a_group_of_nobody_is_refused() -> None:
    with pytest.raises(InvalidRing, match="at least one node"):
        fixed_owner(b"abc", 0)


# Golden slot rings.


@pytest.mark.parametrize(
    ("pair", "first_point", "slots"),
    [
        (
            "given",
            0,
            {
                1: {26, 29, 34, 41, 50, 61, 74, 89, 106},
                2: {30, 32, 37, 44, 53, 64, 77, 92, 109},
                3: {35, 38, 42, 49, 58, 69, 82, 97, 114},
            },
        ),
        (
            "given",
            1,
            {
                1: {29, 34, 41, 50, 61, 74, 89, 106, 125},
                2: {32, 37, 44, 53, 64, 77, 92, 109, 128},
                3: {38, 42, 49, 58, 69, 82, 97, 114, 133},
            },
        ),
        (
            "modified",
            0,
            {
                1: {102, 138, 188, 264, 318, 392, 418, 436, 464},
                2: {43, 69, 87, 115, 265, 301, 351, 427, 481},
                3: {16, 70, 144, 170, 189, 216, 366, 402, 452},
            },
        ),
        (
            "sha256",
            0,
            {
                1: {18, 49, 57, 113, 177, 302, 374, 402, 461},
                2: {124, 137, 155, 259, 305, 332, 350, 403, 479},
                3: {101, 134, 162, 187, 245, 249, 364, 397, 476},
            },
        ),
    ],
)
def test_1_10_the_golden_rings(
    pair: str, first_point: int, slots: dict[int, set[int]]
) -> None:
    ring = SlotRing((1, 2, 3), HASH_PAIRS[pair], first_point=first_point)
    assert slots_of(ring) == slots


@pytest.mark.parametrize(
    ("pair", "slots", "servers"),
    [
        ("given", [337, 81, 145, 16], [1, 3, 1, 1]),
        ("modified", [51, 305, 403, 479], [2, 1, 1, 2]),
        ("sha256", [511, 193, 450, 452], [1, 3, 1, 1]),
    ],
)
def test_1_10_where_requests_go(
    pair: str, slots: list[int], servers: list[int]
) -> None:
    requests = [100_000, 132_574, 123_456, 999_999]
    ring = SlotRing((1, 2, 3), HASH_PAIRS[pair])
    assert [HASH_PAIRS[pair].slot(request) for request in requests] == slots
    assert [ring.server_for(request) for request in requests] == servers


@given(st.integers(0), st.integers(0, 99))
def test_the_sha256_pair_takes_eight_bytes_of_decimal_text(i: int, j: int) -> None:
    pair = HASH_PAIRS["sha256"]
    assert pair.request(i) == int(sha256(str(i).encode()).hexdigest()[:16], 16)
    assert pair.server(i, j) == int(sha256(f"{i},{j}".encode()).hexdigest()[:16], 16)


# Slot rings against a plainer one.


def plain_slots(
    servers: set[int], pair: HashPair, probe: Probe, first_point: int
) -> dict[int, int]:
    """Step from slot to slot, one step longer each time if leaping."""
    taken: dict[int, int] = {}
    for server in sorted(servers):
        for point in range(first_point, first_point + 9):
            slot, step = pair.server(server, point) % 512, 1
            while slot in taken:
                slot = (slot + step) % 512
                step += probe is quadratic
            taken[slot] = server
    return taken


@given(server_sets, pairs, probes, st.integers(0, 1), st.integers(0))
def test_a_ring_matches_the_plain_one(
    servers: set[int], pair: HashPair, probe: Probe, first_point: int, request: int
) -> None:
    ring = SlotRing(servers, pair, probe=probe, first_point=first_point)
    plain = plain_slots(servers, pair, probe, first_point)
    assert dict(enumerate(ring.slots)) == {slot: plain.get(slot) for slot in range(512)}
    if servers:
        slot = pair.request(request) % 512
        while slot not in plain:
            slot = (slot + 1) % 512
        assert ring.server_for(request) == plain[slot]


@pytest.mark.parametrize("probe", [linear, quadratic])
@pytest.mark.parametrize("start", [0, 300, 511])
def test_a_probe_tries_every_slot_once(probe: Probe, start: int) -> None:
    tried = list(probe(start))
    assert tried[0] == start
    assert sorted(tried) == list(range(SLOTS))


@pytest.mark.parametrize("probe", [linear, quadratic])
@pytest.mark.parametrize("pair", HASH_PAIRS.values(), ids=HASH_PAIRS)
def test_1_19_fifty_six_servers_fit_and_no_more(pair: HashPair, probe: Probe) -> None:
    ring = SlotRing(range(1, 57), pair, probe=probe)
    assert {len(slots) for slots in slots_of(ring).values()} == {POINTS}
    assert ring.room == 0
    with pytest.raises(InvalidRing, match=r"57 servers .* keep to 56"):
        SlotRing(range(1, 58), pair, probe=probe)


def test_an_empty_ring_serves_nobody_and_says_so() -> None:
    ring = SlotRing((), HASH_PAIRS["given"])
    assert ring.room == 56
    assert ring.loads([1] * SLOTS) == {}
    with pytest.raises(InvalidRing, match="add a server first"):
        ring.server_for(100_000)


@given(server_sets, pairs, probes, st.randoms(use_true_random=False))
def test_1_21_whatever_the_order_the_ring_is_identical(
    servers: set[int], pair: HashPair, probe: Probe, rng: Random
) -> None:
    order = rng.sample(sorted(servers), len(servers))
    ring = SlotRing(order, pair, probe=probe)
    assert ring.slots == SlotRing(sorted(servers), pair, probe=probe).slots


# Loads.


@pytest.fixture(scope="module")
def six_digits() -> dict[str, list[int]]:
    """How many of all six-digit requests enter at each slot, for each pair."""
    return {name: traffic(pair, SIX_DIGITS) for name, pair in HASH_PAIRS.items()}


# Of 10,000 requests; then their standard deviation.
EXACT_LOADS = [
    ("given", [9531, 469], 4531),
    ("given", [8437, 469, 1094], 3618),
    ("given", [8203, 469, 1016, 312], 3303),
    ("given", [7969, 312, 938, 312, 469], 2993),
    ("given", [7891, 312, 938, 312, 469, 78], 2796),
    ("modified", [5469, 4531], 469),
    ("modified", [3516, 3633, 2852], 344),
    ("modified", [2383, 3242, 2148, 2227], 437),
    ("modified", [2031, 2500, 1836, 1875, 1758], 265),
    ("modified", [1484, 1562, 1406, 1875, 1563, 2109], 246),
    ("sha256", [6279, 3721], 1279),
    ("sha256", [4557, 1830, 3613], 1131),
    ("sha256", [3872, 1616, 2617, 1896], 872),
    ("sha256", [1540, 1497, 2617, 1896, 2449], 460),
    ("sha256", [763, 1497, 2520, 1896, 2429, 894], 684),
]


@pytest.mark.parametrize(("name", "expected", "deviation"), EXACT_LOADS)
def test_1_11_the_exact_loads_over_all_six_digit_requests(
    name: str, expected: list[int], deviation: int, six_digits: dict[str, list[int]]
) -> None:
    ring = SlotRing(range(1, len(expected) + 1), HASH_PAIRS[name])
    loads = ring.loads(six_digits[name])
    assert sum(loads.values()) == 900_000
    of_10_000 = [requests / 90 for requests in loads.values()]
    assert [round(requests) for requests in of_10_000] == expected
    assert round(pstdev(of_10_000)) == deviation


@pytest.mark.parametrize(("name", "expected", "deviation"), EXACT_LOADS)
def test_1_11_ten_thousand_requests_come_within_two_percent(
    name: str, expected: list[int], deviation: int
) -> None:
    rng = Random(111)
    ring = SlotRing(range(1, len(expected) + 1), HASH_PAIRS[name])
    drawn = Counter(ring.server_for(rng.choice(SIX_DIGITS)) for _ in range(10_000))
    for server, exact in enumerate(expected, start=1):
        assert abs(drawn[server] - exact) <= 200


@given(server_sets.filter(bool), pairs, st.lists(st.integers(0), max_size=20))
def test_loads_by_slot_are_the_loads_by_request(
    servers: set[int], pair: HashPair, requests: list[int]
) -> None:
    ring = SlotRing(servers, pair)
    plain = Counter(ring.server_for(request) for request in requests)
    assert Counter(ring.loads(traffic(pair, requests))) == plain


# What moves.


@given(server_sets.filter(bool), server_sets.filter(bool), pairs, st.randoms())
def test_moves_match_a_count_by_request(
    old: set[int], new: set[int], pair: HashPair, rng: Random
) -> None:
    before, after = SlotRing(old, pair), SlotRing(new, pair)
    requests = [rng.choice(SIX_DIGITS) for _ in range(20)]
    moved = [
        (before.server_for(request), after.server_for(request))
        for request in requests
        if before.server_for(request) != after.server_for(request)
    ]
    between_stayers = [
        (giver, taker) for giver, taker in moved if giver in new and taker in old
    ]
    counted = moves(before, after, traffic(pair, requests))
    assert counted.moved == len(moved)
    assert counted.extra == len(between_stayers)


def test_removing_a_server_may_move_the_slots_of_others(
    six_digits: dict[str, list[int]],
) -> None:
    """Server 1 evaded nobody; without it, those that evaded it fall back."""
    pair = HASH_PAIRS["given"]
    before, after = SlotRing(range(1, 7), pair), SlotRing(range(2, 7), pair)
    assert moves(before, after) == Moves(moved=424, necessary=417)
    assert moves(before, after).extra == 7
    assert moves(before, before) == Moves(moved=0, necessary=0)
    assert moves(before, after, six_digits["given"]).moved >= 710_155


# K copies.


def test_2_21_placement() -> None:
    assert successors(b"zebra", servers=3, copies=2) == [2, 0]
    assert successors(b"zebra", servers=5, copies=3) == [2, 3, 4]


@given(st.binary(), st.integers(1, 9), st.data())
def test_2_21_placement_is_k_servers_from_the_digest_on(
    key: bytes, servers: int, data: st.DataObject
) -> None:
    copies = data.draw(st.integers(1, servers))
    first = int(sha256(key).hexdigest(), 16) % servers
    twice_round = [*range(servers), *range(servers)]
    assert successors(key, servers, copies) == twice_round[first : first + copies]


@pytest.mark.parametrize(("servers", "copies"), [(3, 0), (3, 4), (0, 1)])
def test_2_21_more_copies_than_servers_are_refused(servers: int, copies: int) -> None:
    with pytest.raises(InvalidRing, match=f"{copies} copies on {servers} servers"):
        successors(b"zebra", servers, copies)
