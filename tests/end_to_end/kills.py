"""A peer that is killed again and again while it is written to: what is lost?

python -m tests.end_to_end.kills [KILLS [WRITES]]
"""

import random
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.end_to_end.cluster import Cluster, Node, wait_until
from tests.end_to_end.writing import Ledger, Wire

# Of a table of some megabytes: the log outweighs it several times in 10,000 writes.
KEYS, VALUE_BYTES = 3000, 6000

PIPELINED = 50


@dataclass
class Tally:
    """What a campaign came to."""

    kills: int = 0
    writes: int = 0
    acknowledgements: int = 0
    in_checkpoints: int = 0
    recovery_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of a peer under {self.writes} writes: all "
            f"{self.acknowledgements} acknowledged are there, none torn; "
            f"{self.in_checkpoints} kills fell into a checkpoint; up again within "
            f"{self.recovery_s:.2f} s at most"
        )


def kill_at_random(node: Node, ledger: Ledger, writes: int, rng: random.Random) -> None:
    """Write, and kill the peer at some moment before so many are written."""
    fatal = ledger.acknowledgements + rng.randrange(writes)

    def kill() -> None:
        while ledger.acknowledgements < fatal:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.002))
        node.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    end = ledger.writes + writes
    with Wire(node.address) as wire, suppress(ConnectionError):
        while ledger.writes < end:
            ledger.write(wire, rng.choice([1, 1, 1, PIPELINED]))
    killer.join()
    wait_until(lambda: not node.runs, 5, "the peer to die")


def run(root: Path, kills: int, writes: int, seed: int) -> Tally:
    """Kill a peer so often, and look after each time."""
    cluster, rng, tally = Cluster(root), random.Random(seed), Tally()
    ledger = Ledger(KEYS, VALUE_BYTES)
    try:
        node = cluster.up()[0]
        for _ in range(kills):
            kill_at_random(node, ledger, writes, rng)
            tally.in_checkpoints += (node.directory / "table/checkpoint.new").exists()
            began = time.monotonic()
            node = cluster.restart(node)
            tally.recovery_s = max(tally.recovery_s, time.monotonic() - began)
            with Wire(node.address) as wire:
                ledger.check(wire)
            tally.kills += 1
    finally:
        cluster.stop()
    tally.writes, tally.acknowledgements = ledger.writes, ledger.acknowledgements
    return tally


def main() -> int:
    """The command line: 0 if nothing was lost."""
    kills, writes = [*map(int, sys.argv[1:]), *(100, 10_000)[len(sys.argv) - 1 :]]
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with TemporaryDirectory(prefix="shoal-kills-") as root:
        print(run(Path(root), kills, writes, seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
