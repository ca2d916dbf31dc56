"""Records on a hostile network and hostile disks. A failing seed is the bug report."""

import pytest

from tests.simulation.plants import Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import Property
from tests.simulation.records_claims import a_claim_is_ones
from tests.simulation.records_plants import RECORDS_PLANTS
from tests.simulation.records_properties import RECORDS_PROPERTIES

SHARE_S = 3.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 500


@pytest.mark.parametrize("holds", [*RECORDS_PROPERTIES, a_claim_is_ones], ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), RECORDS_PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(plant, finders, monkeypatch, PATIENCE_SEEDS)
