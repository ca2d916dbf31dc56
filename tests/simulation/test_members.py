"""Members on a hostile network. A failing seed is the bug report."""

import os
import subprocess
import sys

import pytest

from tests.simulation.plants import PLANTS, Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import PROPERTIES, Property

# Of the ground's 90 seconds, on two processors.
SHARE_S = 1.5

# By then a planted fault must have been found.
PATIENCE_SEEDS = 30


@pytest.mark.parametrize("holds", PROPERTIES, ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(plant, finders, monkeypatch, PATIENCE_SEEDS)


def test_one_seed_gives_one_history_whatever_the_hash_seed() -> None:
    script = (
        "from shoal.cli.rehearsal import Rehearsal;"
        "from shoal.sim.faults import Faults;"
        "stage = Rehearsal(7, Faults(loss=0.2, duplication=0.1));"
        "[stage.play(line) for line in ('peers 8', 'run 8', 'crash p3', 'run 5',"
        "'restart p3', 'partition p0 p1 / p2 p3 p4 p5 p6 p7', 'run 9', 'heal',"
        "'run 9')];"
        "print(*stage.network.trace, sep='\\n')"
    )
    histories = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "src"},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in "123"
    }
    assert len(histories) == 1
    assert histories.pop().count(b"\n") > 1000
