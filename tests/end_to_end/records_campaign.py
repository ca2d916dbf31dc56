"""Records at three peers, two of which are killed in turn while the third watches.

    python -m tests.end_to_end.records_campaign [--kills 200] [--heads 10000] [--seed N]

Whoever watches must hear the versions of each record in rising order, and of every
change that was acknowledged that one or a later; what stands in the end last of all.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from tests.end_to_end.archivists import Archivist
from tests.end_to_end.cluster import START_S, wait_until

# So many are changed at once by each peer, over and over while another is killed.
CHANGED, TIMES = 20, 3
KILLED_WITHIN_S = 0.3
CREATED = 250


@dataclass
class Figures:
    """What came of it."""

    acknowledged: int = 0
    heard: int = 0
    missed: list[str] = field(default_factory=list)
    created_per_s: float = 0.0
    listed_ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        listed = ", ".join(f"{each:.1f}" for each in self.listed_ms)
        return (
            f"{self.created_per_s:.0f} records a second created on three peers; listed "
            f"in {listed} ms, a peer each; {self.acknowledged} changes acknowledged "
            f"under kills, {self.heard} heard, {len(self.missed)} missed"
        )


def campaign(root: Path, *, kills: int, heads: int, seed: int) -> Figures:
    """Three peers, so many records, so many kills."""
    rng, figures = Random(seed), Figures()
    first = Archivist(root / "0")
    peers = [first]
    try:
        address = first.told["address"]
        peers += [Archivist(root / str(n), address) for n in (1, 2)]
        wait_until(lambda: all_keep(peers), START_S, "all to keep copies")
        stands = created(peers, heads, figures)
        wait_until(lambda: first.ask("list") == stands, START_S, "the board")
        for peer in peers:
            took = [peer.ask("list in ms") for _ in range(20)]
            assert {count for count, _ in took} == {heads}
            figures.listed_ms.append(median(ms for _, ms in took))
        first.ask("watch")
        for n in range(kills):
            changed = under_a_kill(peers, 1 + n % 2, list(stands), rng)
            figures.acknowledged += len(changed)
            for name, version in changed:
                stands[name] = max(stands[name], version)
        judge(first, stands, figures)
    finally:
        for peer in peers:
            peer.end()
    return figures


def all_keep(peers: list[Archivist]) -> bool:
    return all(peer.ask("look")["copies_on"] == 3 for peer in peers)


def created(peers: list[Archivist], heads: int, figures: Figures) -> dict[str, int]:
    """All peers make some at the same time."""
    names = [f"j{n}" for n in range(heads)]
    parcels = [names[at : at + CREATED] for at in range(0, heads, CREATED)]

    def make(n: int) -> dict[str, int]:
        made: dict[str, int] = {}
        for parcel in parcels[n :: len(peers)]:
            made |= peers[n].ask("create", ids=parcel)
        return made

    began, made = time.monotonic(), dict[str, int]()
    with ThreadPoolExecutor(len(peers)) as pool:
        for some in pool.map(make, range(len(peers))):
            made |= some
    figures.created_per_s = heads / (time.monotonic() - began)
    return made


def under_a_kill(
    peers: list[Archivist], victim: int, names: list[str], rng: Random
) -> list[tuple[str, int]]:
    """One is killed while the others change records, and comes back."""
    others = [peer for peer in peers if peer is not peers[victim]]
    chosen = [
        [rng.sample(names, CHANGED) for _ in range(TIMES)] for _ in range(len(others))
    ]

    def change(n: int) -> list[tuple[str, int]]:
        told: list[tuple[str, int]] = []
        for some in chosen[n]:
            told += others[n].ask("swap", ids=some).items()
        return told

    with ThreadPoolExecutor(len(others)) as pool:
        changing = pool.map(change, range(len(others)))
        time.sleep(rng.uniform(0, KILLED_WITHIN_S))
        peers[victim].end(kill=True)
        changed = [each for some in changing for each in some]
    directory = peers[victim].directory
    peers[victim] = Archivist(directory, others[0].told["address"])
    return changed


def judge(watcher: Archivist, stands: dict[str, int], figures: Figures) -> None:
    """Was everything heard, in its order?"""
    last: dict[str, int] = {}

    def all_heard() -> bool:
        last.clear()
        heard = watcher.ask("heard")
        figures.heard = len(heard) - len(stands)  # What there was came first.
        for name, version in heard:
            if version <= last.get(name, 0):
                figures.missed.append(f"{name}: {version} after {last[name]}")
            last[name] = version
        return all(last.get(name, 0) >= least for name, least in stands.items())

    try:
        wait_until(all_heard, START_S, "everything to be heard")
    except AssertionError:
        figures.missed += [
            f"{name}: {last.get(name)}, and {least} was acknowledged"
            for name, least in stands.items()
            if last.get(name, 0) < least
        ]
    now = watcher.ask("list")
    figures.missed += [
        f"{name}: {last.get(name)} was the last, and {version} stands"
        for name, version in now.items()
        if last.get(name) != version
    ]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--heads", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with TemporaryDirectory() as root:
        figures = campaign(
            Path(root), kills=chosen.kills, heads=chosen.heads, seed=chosen.seed
        )
    print(figures)
    for each in figures.missed[:20]:
        print(each)
    return 1 if figures.missed else 0


if __name__ == "__main__":
    sys.exit(main())
