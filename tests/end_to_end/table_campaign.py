"""One table at several real peers, on machines of their own, hurt again and again.

    python -m tests.end_to_end.table_campaign [--rounds 200] [--seed N] [--peers 5]
        [--dir DIR]    where the peers' directories and logs stay

Twenty clients ask all peers for a few keys while peers are killed, halted and cut off.
After each batch of rounds all faults end and every key is read at every peer; then
everything that clients were told is judged: was it possible on one copy? Fails when it
was not, when an acknowledged write is gone, there or at the very end, or when a peer
stays silent.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from tests.end_to_end.bookkeeping import Book, judge
from tests.end_to_end.cluster import START_S
from tests.end_to_end.crowd import CLIENTS, Crowd
from tests.end_to_end.faults import Peers, Trial, draw
from tests.end_to_end.namespaces import Namespaces

PEERS = 5

# Rounds on the same keys: more operations on one key take a checker too long.
BATCH = 5
CALM_S = 0.5, 3.0
WHOLE_S = 120

# After a fault ended, until clients have looked at everything everywhere.
LOOKED_S = 900.0


@dataclass
class Tally:
    """What a campaign came to."""

    times: Counter[str] = field(default_factory=Counter)
    unmet: Counter[str] = field(default_factory=Counter)
    resumed_s: dict[str, list[float]] = field(default_factory=dict)
    whole_s: dict[str, list[float]] = field(default_factory=dict)
    operations: int = 0
    unknown: int = 0
    refused: int = 0
    kept: dict[bytes, bytes] = field(default_factory=dict)  # Acknowledged, of all.
    lost: set[bytes] = field(default_factory=set)
    oddities: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.violations or self.undecided or self.oddities)

    def close(self, book: Book, silent: list[str]) -> None:
        """Judge a batch, and add it up."""
        self.operations += len(book.history.operations)
        self.unknown += book.unknown
        self.refused += book.refused
        self.kept |= book.once
        self.lost |= set(book.lost)
        self.oddities += book.oddities
        found = judge(book)
        self.violations += found.violations
        self.violations += [f"{each} did not answer again" for each in silent]
        self.undecided += found.undecided

    def __str__(self) -> str:
        return "\n".join([*self._faults(), *self._operations(), *self._troubles()])

    def _faults(self) -> Iterator[str]:
        titles = (
            "rounds",
            "writes go on p50",
            "max s",
            "never",
            "copies whole p50",
            "max s",
        )
        yield f"{'':20}" + "".join(f"{title:>17}" for title in titles)
        for title, times in self.times.most_common():
            resumed = _figures(self.resumed_s.get(title, []))
            whole = _figures(self.whole_s.get(title, []))
            cells = (str(times), *resumed, str(self.unmet[title]), *whole)
            yield f"{title:20}" + "".join(f"{cell:>17}" for cell in cells)

    def _operations(self) -> Iterator[str]:
        shares = [
            100 * n / max(self.operations, 1) for n in (self.unknown, self.refused)
        ]
        yield (
            f"{self.operations} operations, {shares[0]:.1f} % of unknown outcome, "
            f"{shares[1]:.1f} % refused"
        )
        kept, lost = len(self.kept), len(self.lost)
        yield f"{kept} keys written once and acknowledged, {lost} lost"
        yield f"{len(self.violations)} violations, {len(self.undecided)} undecided"

    def _troubles(self) -> Iterator[str]:
        for text, times in self.oddities.items():
            yield f"answered {times} times, with no reason: {text}"
        yield from (*self.violations[:3], *self.undecided[:3])


def _figures(seconds: list[float]) -> tuple[str, str]:
    if not seconds:
        return "-", "-"
    return f"{median(seconds):.2f}", f"{max(seconds):.2f}"


class Campaign:
    """Peers, and what is done to them."""

    def __init__(self, peers: Peers, rng: Random, clients: int) -> None:
        self.tally = Tally()
        self._peers, self._rng, self._clients = peers, rng, clients
        asked = self._shoal("wait", "--help")
        self._waits = asked and "--replicated" in asked

    def batch(self, number: int, trials: Sequence[Trial]) -> None:
        """Some rounds on the same keys; then the faults end, and all is judged."""
        book = Book.of(number)
        crowd = Crowd(self._peers.addresses, book, self._rng, clients=self._clients)
        with self._playing(crowd):
            for trial in trials:
                time.sleep(self._rng.uniform(*CALM_S))
                self._round(crowd, trial)
        self.tally.close(book, [str(each) for each in crowd.silent])

    def look_back(self) -> None:
        """Is everything still there that was acknowledged in any batch?"""
        book = Book(-1, (), (), once=self.tally.kept)
        crowd = Crowd(self._peers.addresses, book, self._rng, clients=0)
        with self._playing(crowd):
            pass
        self.tally.close(book, [str(each) for each in crowd.silent])

    @contextmanager
    def _playing(self, crowd: Crowd) -> Iterator[None]:
        troubles: list[BaseException] = []

        def play() -> None:
            try:
                self._peers.lan.outside.inside(crowd.play)
            except BaseException as trouble:
                troubles.append(trouble)
                raise

        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield
        finally:
            crowd.end()
            thread.join(LOOKED_S)
        assert not troubles, troubles
        assert not thread.is_alive(), "the clients never came to an end"

    def _round(self, crowd: Crowd, trial: Trial) -> None:
        self.tally.times[trial.title] += 1
        began = time.monotonic()
        self._peers.hurt(trial)
        try:
            self._measure_writes(crowd, trial)
            time.sleep(max(0.0, began + trial.seconds - time.monotonic()))
        finally:
            self._peers.mend(trial)
        self._measure_copies(trial)

    def _measure_writes(self, crowd: Crowd, trial: Trial) -> None:
        well = self._peers.majority(trial)
        if not well:
            return
        took_s = crowd.writes_go_on(well, trial.seconds).result()
        if took_s is None:
            self.tally.unmet[trial.title] += 1
        else:
            self.tally.resumed_s.setdefault(trial.title, []).append(took_s)

    def _measure_copies(self, trial: Trial) -> None:
        if not self._waits:
            return
        began = time.monotonic()
        if self._shoal("wait", "--replicated", "--timeout", str(WHOLE_S)) is None:
            late = f"copies were not whole {WHOLE_S} s after: {trial}"
            self.tally.violations.append(late)
            return
        took_s = time.monotonic() - began
        self.tally.whole_s.setdefault(trial.title, []).append(took_s)

    def _shoal(self, *arguments: str) -> str | None:
        """What one of our commands printed at the first peer, if it succeeded."""
        cluster = self._peers.lan.machines[0].cluster
        done = cluster.shoal(*arguments, within_s=WHOLE_S + START_S)
        return done.stdout if done.returncode == 0 else None


def run(
    root: Path,
    trials: Sequence[Trial],
    *,
    seed: int,
    peers: int = PEERS,
    clients: int = CLIENTS,
) -> Tally:
    """These rounds, batch by batch; what they came to."""
    lan = Namespaces(root, peers)
    try:
        campaign = Campaign(Peers(lan), Random(seed), clients)
        tally = campaign.tally
        for number, first in enumerate(range(0, len(trials), BATCH)):
            campaign.batch(number, trials[first : first + BATCH])
            told = f"{tally.times.total()} rounds, {tally.operations} operations"
            violations = f"{len(tally.violations)} violations"
            print(f"{told}, {violations}", file=sys.stderr, flush=True)
        campaign.look_back()
        return tally
    finally:
        lan.remove()


def drawn(seed: int, rounds: int, peers: int = PEERS) -> list[Trial]:
    """So many rounds by chance."""
    rng = Random(seed)
    return [draw(rng, peers) for _ in range(rounds)]


def main() -> int:
    """The command line: 0 if everything was as on one copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--peers", type=int, default=PEERS)
    parser.add_argument("--dir", type=Path)
    chosen = parser.parse_args()
    peers, rounds, seed = chosen.peers, chosen.rounds, chosen.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"{peers} peers, {rounds} rounds, seed {seed}", flush=True)
    with TemporaryDirectory(prefix="shoal-table-campaign-") as fleeting:
        root = chosen.dir or Path(fleeting)
        tally = run(root, drawn(seed, rounds, peers), seed=seed, peers=peers)
    print(tally)
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main())
