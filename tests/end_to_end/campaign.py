"""Five real peers, killed and silenced forty times, then starved: who notices what.

    python -m tests.end_to_end.campaign [--quick]

A death is noticed when the last of the others holds it for dead: the latest `since`
of their records, less the moment of the signal. Fails when a bound is broken.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from tests.end_to_end.cluster import (
    Cluster,
    Node,
    all_see,
    wait_all_alive,
    wait_until,
)

PEERS = 5
ROUNDS = 20

# What is promised for five peers on loopback.
REFUSAL_S, SILENCE_S = 0.1, 2.0

BUSY = 16
STARVED_S, STARVED_QUICK_S = 600.0, 30.0

# A bound broken by this much still ends as a figure, not as a stuck campaign.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Row:
    """One measure, and whether it holds."""

    measure: str
    seconds: list[float]
    bound_s: float

    @property
    def holds(self) -> bool:
        return max(self.seconds) <= self.bound_s

    def __str__(self) -> str:
        p99 = quantiles(self.seconds, n=100, method="inclusive")[98]
        figures = (median(self.seconds), p99, max(self.seconds), self.bound_s)
        told = "  ".join(f"{1000 * each:7.0f}" for each in figures)
        verdict = "" if self.holds else "  BROKEN"
        return f"{self.measure:32}  {len(self.seconds):3}  {told}{verdict}"


HEADING = f"{'':32}  {'n':>3}  " + "  ".join(
    f"{title:>7}" for title in ("median", "p99", "max", "bound")
)


class Campaign:
    """A network, and what is done to it."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._rng = random.Random(seed)
        self._nodes = cluster.up("--peers", str(PEERS))
        wait_all_alive(self._nodes)

    def kill(self) -> Row:
        """End one after the other, and let each return."""
        return Row(
            "killed, noticed by all, ms",
            [
                self._hurt(n % PEERS, signal.SIGKILL, self._restart)
                for n in range(ROUNDS)
            ],
            REFUSAL_S,
        )

    def silence(self) -> Row:
        """Halt one after the other, and let each go on."""
        return Row(
            "stopped, noticed by all, ms",
            [self._hurt(n % PEERS, signal.SIGSTOP, self._go_on) for n in range(ROUNDS)],
            SILENCE_S,
        )

    def starve(self, seconds: float) -> tuple[list[str], int]:
        """Load the machine. Who was lost, and how many suspicions came to nothing."""
        before = [len(_facts(node)) for node in self._nodes]
        with busy(BUSY):
            time.sleep(seconds)
        fresh = [
            f"{node.name}: {fact}"
            for node, seen in zip(self._nodes, before, strict=True)
            for fact in _facts(node)[seen:]
        ]
        lost = [fact for fact in fresh if "MemberLost(" in fact]
        wait_all_alive(self._nodes)
        return lost, sum("MemberSuspected(" in fact for fact in fresh)

    def _hurt(
        self, n: int, number: signal.Signals, mend: Callable[[int], None]
    ) -> float:
        # At any moment of everybody's rounds, not just after they have met.
        time.sleep(self._rng.uniform(0.3, 1.3))
        victim = self._nodes[n]
        others = [node for node in self._nodes if node is not victim]
        at = victim.kill(number)
        wait_until(
            lambda: all_see(others, [victim.name], "dead"),
            PATIENCE_S,
            f"all to see {victim.name} dead",
        )
        noticed = max(node.members()[victim.name]["since"] for node in others)
        mend(n)
        wait_all_alive(self._nodes)
        return float(noticed - at)

    def _restart(self, n: int) -> None:
        self._nodes[n] = self._cluster.restart(self._nodes[n])

    def _go_on(self, n: int) -> None:
        self._nodes[n].kill(signal.SIGCONT)


def _facts(node: Node) -> list[str]:
    return [line for line in node.log().splitlines() if "Member" in line]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that want all the time there is.

    Each in a session of its own: the kernel shares time between sessions first, and
    would shield the peers from sixteen processes that counted as one.
    """
    command = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def run(root: Path, *, quick: bool, seed: int) -> bool:
    """Do it all, print the table, and say whether every bound held."""
    cluster = Cluster(root)
    try:
        campaign = Campaign(cluster, seed)
        print(f"{PEERS} peers on loopback, {os.cpu_count()} cores, seed {seed}")
        print(HEADING, flush=True)
        rows = []
        for measure in (campaign.kill, campaign.silence):
            rows.append(measure())
            print(rows[-1], flush=True)
        starved_s = STARVED_QUICK_S if quick else STARVED_S
        lost, doubts = campaign.starve(starved_s)
        print(
            f"{starved_s:.0f} s beside {BUSY} busy processes: {len(lost)} falsely "
            f"lost (bound 0), {doubts} suspicions cleared"
        )
        for fact in lost:
            print(f"  {fact}")
        return not lost and all(row.holds for row in rows)
    finally:
        cluster.stop()


def main() -> int:
    """The command line: 0 if every bound held, else 1."""
    quick = "--quick" in sys.argv[1:]
    seed = random.SystemRandom().randrange(1 << 32)
    with TemporaryDirectory(prefix="shoal-campaign-") as root:
        return 0 if run(Path(root), quick=quick, seed=seed) else 1


if __name__ == "__main__":
    sys.exit(main())
