"""Records, and an owner that is killed: its process, not its manners."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.archivists import Archivist
from tests.end_to_end.cluster import START_S, wait_until
from tests.end_to_end.records_campaign import campaign


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[list[Archivist]]:
    first = Archivist(tmp_path / "0")
    started = [first]
    try:
        address = first.told["address"]
        started += [Archivist(tmp_path / str(n), address) for n in (1, 2)]
        yield started
    finally:
        for each in started:
            each.end()


def agree(peers: list[Archivist]) -> str | None:
    """On who owns a record; and all three keep copies of everything."""
    views = [peer.ask("look") for peer in peers]
    same = all(view == views[0] for view in views)
    return views[0]["owner"] if same and views[0]["copies_on"] == 3 else None


def test_a_killed_owner_is_replaced_and_what_it_told_is_there(
    peers: list[Archivist],
) -> None:
    wait_until(lambda: agree(peers), START_S, "all to agree")
    made = peers[0].ask("create", ids=[f"j{n}" for n in range(200)])
    name = agree(peers)
    [owner] = [peer for peer in peers if peer.told["name"] == name]
    others = [peer for peer in peers if peer is not owner]

    owner.end(kill=True)  # Most of them were told by it a moment ago, and are there.
    peers.remove(owner)
    made |= others[1].ask("create", ids=[f"later{n}" for n in range(50)])
    wait_until(lambda: all(p.ask("list") == made for p in others), 10, "their boards")

    back = Archivist(owner.directory, others[0].told["address"])
    peers.append(back)
    wait_until(lambda: back.ask("list") == made, START_S, "its board")
    made |= back.ask("create", ids=["last"])
    wait_until(lambda: all(p.ask("list") == made for p in peers), 10, "all boards")


def test_a_watcher_misses_nothing_through_kills(tmp_path: Path) -> None:
    figures = campaign(tmp_path, kills=3, heads=500, seed=1)
    assert figures.acknowledged > 100
    assert figures.missed == []
