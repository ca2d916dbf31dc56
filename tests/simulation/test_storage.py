"""The table's storage on a hostile disk. A failing seed is the bug report."""

import pytest

from tests.simulation.plants import Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import Property
from tests.simulation.storage_plants import STORAGE_PLANTS
from tests.simulation.storage_properties import STORAGE_PROPERTIES

SHARE_S = 2.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 150


@pytest.mark.parametrize("holds", STORAGE_PROPERTIES, ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), STORAGE_PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(plant, finders, monkeypatch, PATIENCE_SEEDS)
