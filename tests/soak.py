"""Every property under many seeds, hostile bytes, and deaths of real processes.

python -m tests.soak [--seeds N] [--from SEED] [--only NAME]: prints a line a property,
and ends with 1 if anything failed. A failing seed is the bug report. `--only NAME`
plays the properties of that name, and nothing else.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.conformance import catalog_campaign, fuzz, fuzz_talks
from tests.end_to_end import campaign, kills
from tests.simulation.catalogs_properties import CATALOGS_PROPERTIES
from tests.simulation.peers_properties import PEERS_PROPERTIES
from tests.simulation.peers_weather import PEERS_WEATHER
from tests.simulation.properties import PROPERTIES, Property
from tests.simulation.records_claims import a_claim_is_ones
from tests.simulation.records_properties import RECORDS_PROPERTIES
from tests.simulation.storage_properties import STORAGE_PROPERTIES

FUZZED_INPUTS = 100_000
INPUTS_HEARD = 10_000_000
ATTACKS = 100  # Of each kind that a catalog can meet: some five minutes.
PROCESSES = os.cpu_count() or 1

# Where so much can go wrong together, so many times as many seeds are played.
PEERS_TIMES = 2

KILLS, WRITES_A_KILL = 100, 10_000

# Each property, and how many seeds of it for one of what is asked for.
EVERY: list[tuple[Property, int]] = [
    *((holds, 1) for holds in PROPERTIES + STORAGE_PROPERTIES + RECORDS_PROPERTIES),
    *((holds, PEERS_TIMES) for holds in PEERS_PROPERTIES + PEERS_WEATHER),
    (a_claim_is_ones, 1),
    *((holds, 1) for holds in CATALOGS_PROPERTIES),
]

# Small enough that both processors are busy to the end.
PARCEL = 10


def play(holds: Property, seeds: range) -> list[tuple[int, str]]:
    """The seeds that failed, and why."""
    failed = []
    for seed in seeds:
        try:
            holds(seed)
        except AssertionError as error:
            failed.append((seed, str(error)[:200]))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    worst = 0
    with ProcessPoolExecutor(PROCESSES) as pool:
        for holds, times in EVERY:
            if chosen.only not in holds.__name__:
                continue
            began, count = time.monotonic(), chosen.seeds * times
            end = chosen.first + count
            parcels = [
                range(at, min(at + PARCEL, end))
                for at in range(chosen.first, end, PARCEL)
            ]
            failed = list(flatten(pool.map(play, [holds] * len(parcels), parcels)))
            took = time.monotonic() - began
            print(f"{holds.__name__:48} {count:6} seeds {took:7.0f} s", end=" ")
            print("holds" if not failed else f"FAILED {failed[:5]}", flush=True)
            worst = max(worst, len(failed))
    if not chosen.only:
        worst += attack_talks() + attack_doors() + attack_catalog()
        worst += campaign_deaths() + kill_writers()
    return 1 if worst else 0


def attack_talks() -> int:
    share = INPUTS_HEARD // PROCESSES
    with ProcessPoolExecutor(PROCESSES) as pool:
        seeds = [os.getpid() + n for n in range(PROCESSES)]
        grown = max(pool.map(fuzz_talks.attack, [share] * PROCESSES, seeds))
    print(f"{INPUTS_HEARD} hostile inputs heard: no crash, grew by {grown >> 20} MiB")
    return int(grown > fuzz_talks.MAX_GROWTH_BYTES)


def attack_doors() -> int:
    grown = asyncio.run(fuzz.attack(FUZZED_INPUTS, seed=os.getpid()))
    print(f"{FUZZED_INPUTS} hostile inputs: no crash, grew by {grown >> 20} MiB")
    return int(grown > fuzz.MAX_GROWTH_BYTES)


def attack_catalog() -> int:
    with tempfile.TemporaryDirectory() as root:
        failed = catalog_campaign.run(
            Path(root), times=ATTACKS, seed=os.getpid(), in_time=True
        )
    for each in failed:
        print(f"FAILED, seed {os.getpid()}: {each}")
    return len(failed)


def campaign_deaths() -> int:
    with tempfile.TemporaryDirectory() as root:
        held = campaign.run(Path(root), quick=False, seed=os.getpid())
    return int(not held)


def kill_writers() -> int:
    try:
        with tempfile.TemporaryDirectory() as root:
            print(kills.run(Path(root), KILLS, WRITES_A_KILL, seed=os.getpid()))
    except AssertionError as error:
        print(f"FAILED after kill -9, seed {os.getpid()}: {error}")
        return 1
    return 0


def flatten(parcels: Iterator[list[tuple[int, str]]]) -> Iterator[tuple[int, str]]:
    for parcel in parcels:
        yield from parcel


if __name__ == "__main__":
    sys.exit(main())
