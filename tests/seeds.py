"""How many seeds to play: as many as fit into a share of the test run's time."""

import os
from collections.abc import Iterator
from time import monotonic


def seeds(share_s: float, at_least: int = 2) -> Iterator[int]:
    """Seeds from 0, until the share is used; the same ones first on every machine.

    SEEDS=N plays exactly N, from SEED_FROM on.
    """
    first = int(os.environ.get("SEED_FROM", "0"))
    if wanted := os.environ.get("SEEDS"):
        yield from range(first, first + int(wanted))
        return
    began, seed = monotonic(), first
    while seed - first < at_least or monotonic() - began < share_s:
        yield seed
        seed += 1
