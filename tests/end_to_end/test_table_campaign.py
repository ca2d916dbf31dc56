"""The campaign's instruments, tried on real peers of which the truth is known."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from shoal.core.machine import Address
from tests.end_to_end import table_campaign
from tests.end_to_end.bookkeeping import Book, judge
from tests.end_to_end.cluster import Cluster
from tests.end_to_end.crowd import Crowd
from tests.end_to_end.faults import KINDS, Fault, Trial, draw
from tests.end_to_end.namespaces import require_namespaces
from tests.end_to_end.rolling import Load

PLAY_S = 2.0


@contextmanager
def asked_by_many(addresses: Sequence[Address], seed: int) -> Iterator[Crowd]:
    """Clients while the block runs, and their last look after it."""
    crowd = Crowd(addresses, Book.of(0), Random(seed), pause_s=0.01)
    thread = threading.Thread(target=crowd.play)
    thread.start()
    try:
        yield crowd
    finally:
        crowd.end()
        thread.join()


def test_one_peer_is_one_table_even_when_it_is_killed(user: Cluster) -> None:
    node = user.up()[0]
    with asked_by_many([node.address] * 3, seed=1) as crowd:
        for _ in range(2):
            time.sleep(PLAY_S / 2)
            node.kill()
            node = user.restart(node)
        assert crowd.writes_go_on([node.address], 30).result() is not None
    found = judge(crowd.book)
    assert not found.violations, found.violations[0]
    assert not found.undecided
    assert not crowd.silent
    assert not crowd.book.oddities
    assert crowd.book.once
    assert crowd.book.unknown >= len(crowd.book.history.operations) / 20


def test_peers_that_share_nothing_are_not_one_table(user: Cluster) -> None:
    addresses = [user.up()[0].address for _ in range(2)]
    with asked_by_many(addresses, seed=2) as crowd:
        time.sleep(PLAY_S)
    told = "\n".join(judge(crowd.book).violations)
    assert "no order explains this answer" in told
    assert "acknowledged writes lost" in told


def test_who_never_answers_again_is_named(user: Cluster) -> None:
    node = user.up()[0]
    crowd = Crowd([node.address], Book.of(0), Random(3), clients=2, level_s=1.0)
    node.kill()
    crowd.end()
    crowd.play()
    assert crowd.silent == [node.address]


def test_load_notices_what_fails_and_what_is_lost(user: Cluster) -> None:
    addresses = [user.up()[0].address for _ in range(2)]
    load = Load(addresses, clients=4)
    with load.running():
        time.sleep(PLAY_S / 2)
    assert load.failed  # What one has, the other has not.
    assert load.lost()


def test_load_finds_nothing_amiss_with_one_table(user: Cluster) -> None:
    load = Load([user.up()[0].address] * 2, clients=4)
    with load.running():
        time.sleep(PLAY_S / 2)
    assert load.kept
    assert not load.failed
    assert not load.lost()


@pytest.mark.parametrize("peers", [3, 5])
def test_every_fault_is_drawn_and_a_third_of_cuts_are_one_way(peers: int) -> None:
    rng = Random(0)
    drawn = [fault for _ in range(3000) for fault in draw(rng, peers).faults]
    counts = {kind: sum(each.kind == kind for each in drawn) for kind in KINDS}
    assert min(counts.values()) > 50
    one_way = counts["deaf"] + counts["mute"]
    assert 0.25 < one_way / (one_way + counts["cut off"]) < 0.42
    assert all(fault.victims for fault in drawn)


def test_a_campaign_on_one_machine_believes_it(tmp_path: Path) -> None:
    require_namespaces()
    kinds = ("killed", "stopped", "cut off")
    trials = [Trial((Fault(kind, (0,)),), 0.5) for kind in kinds]
    tally = table_campaign.run(tmp_path, trials, seed=4, peers=1)
    assert tally.holds, str(tally)
    assert tally.kept
    assert tally.times == dict.fromkeys(kinds, 1)
    assert "0 lost" in str(tally)
