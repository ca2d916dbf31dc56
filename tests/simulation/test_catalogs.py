"""Catalogs that share, on a hostile network. A failing seed is the bug report."""

import pytest

from tests.simulation.catalogs_plants import CATALOGS_PLANTS
from tests.simulation.catalogs_properties import CATALOGS_PROPERTIES
from tests.simulation.plants import Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import Property

SHARE_S = 2.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 300


@pytest.mark.parametrize("holds", CATALOGS_PROPERTIES, ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), CATALOGS_PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(plant, finders, monkeypatch, PATIENCE_SEEDS)
