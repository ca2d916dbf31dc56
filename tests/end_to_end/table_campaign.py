"""One table at several real peers, on machines of their own, hurt again and again.

    python -m tests.end_to_end.table_campaign [--rounds 200] [--seed N] [--peers 5]

Twenty clients ask all peers for a few keys while peers are killed, halted and cut off.
After each batch of rounds all faults end and every key is read at every peer; then
everything that clients were told is judged: was it possible on one copy? Fails when it
was not, when an acknowledged write is gone, or when a peer stays silent.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from tests.end_to_end.bookkeeping import Book, judge
from tests.end_to_end.crowd import CLIENTS, Crowd
from tests.end_to_end.faults import Peers, Trial, draw
from tests.end_to_end.namespaces import Namespaces

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
    once: int = 0
    lost: int = 0
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
        self.once += len(book.once)
        self.lost += len(book.lost)
        self.oddities += book.oddities
        found = judge(book)
        self.violations += found.violations
        self.violations += [f"{each} did not answer again" for each in silent]
        self.undecided += found.undecided

    def __str__(self) -> str:
        return "\n".join([*self._faults(), *self._operations(), *self._troubles()])

    def _faults(self) -> Iterator[str]:
        titles = "rounds", "writes go on, s", "max", "never", "copies whole, s", "max"
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
        yield f"{self.once} keys written once and acknowledged, {self.lost} lost"
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

    def __init__(
        self, peers: Peers, rng: Random, *, clients: int, longest_s: float
    ) -> None:
        self.tally = Tally()
        self._peers, self._rng = peers, rng
        self._clients, self._longest_s = clients, longest_s
        asked = self._shoal("wait", "--help")
        self._waits = asked and "--replicated" in asked

    def batch(self, number: int, rounds: int) -> None:
        """Some rounds on the same keys; then the faults end, and all is judged."""
        book = Book.of(number)
        crowd = Crowd(self._peers.addresses, book, self._rng, clients=self._clients)
        with self._playing(crowd):
            for _ in range(rounds):
                time.sleep(self._rng.uniform(*CALM_S))
                self._round(crowd)
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

    def _round(self, crowd: Crowd) -> None:
        trial = draw(self._rng, len(self._peers.nodes), longest_s=self._longest_s)
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
        done = self._peers.lan.machines[0].cluster.shoal(*arguments)
        return done.stdout if done.returncode == 0 else None


def run(
    root: Path,
    *,
    rounds: int,
    seed: int,
    peers: int = 5,
    clients: int = CLIENTS,
    longest_s: float = 20.0,
) -> Tally:
    """So many rounds, batch by batch; what they came to."""
    lan = Namespaces(root, peers)
    try:
        rng = Random(seed)
        campaign = Campaign(Peers(lan), rng, clients=clients, longest_s=longest_s)
        for number, first in enumerate(range(0, rounds, BATCH)):
            campaign.batch(number, min(BATCH, rounds - first))
            tally = campaign.tally
            print(
                f"{first + BATCH} rounds, {tally.operations} operations, "
                f"{len(tally.violations)} violations",
                file=sys.stderr,
                flush=True,
            )
        return campaign.tally
    finally:
        lan.remove()


def main() -> int:
    """The command line: 0 if everything was as on one copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--peers", type=int, default=5)
    chosen = parser.parse_args()
    seed = chosen.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"{chosen.peers} peers, {chosen.rounds} rounds, seed {seed}", flush=True)
    with TemporaryDirectory(prefix="shoal-table-campaign-") as root:
        tally = run(Path(root), rounds=chosen.rounds, seed=seed, peers=chosen.peers)
    print(tally)
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main())
