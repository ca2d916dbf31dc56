"""A table on many peers, on a hostile network and hostile disks, seed after seed.

A failing seed is the bug report.
"""

import pytest

from tests.simulation.peers_moves_plants import MOVES_PLANTS
from tests.simulation.peers_plants import PEERS_PLANTS
from tests.simulation.peers_properties import PEERS_PROPERTIES
from tests.simulation.peers_weather import PEERS_WEATHER
from tests.simulation.plants import Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import Property

SHARE_S = 5.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 400


@pytest.mark.parametrize("holds", PEERS_PROPERTIES + PEERS_WEATHER, ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), PEERS_PLANTS + MOVES_PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(plant, finders, monkeypatch, PATIENCE_SEEDS)
