"""Records on a hostile network and hostile disks. A failing seed is the bug report."""

import pytest

from tests.seeds import seeds
from tests.simulation.plants import Plant
from tests.simulation.properties import Property
from tests.simulation.records_plants import RECORDS_PLANTS
from tests.simulation.records_properties import RECORDS_PROPERTIES

SHARE_S = 3.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 500


@pytest.mark.parametrize("holds", RECORDS_PROPERTIES, ids=lambda each: each.__name__)
def test_holds(holds: Property) -> None:
    for seed in seeds(SHARE_S):
        try:
            holds(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize(
    ("plant", "finders"), RECORDS_PLANTS, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in range(PATIENCE_SEEDS):
        for holds in finders:
            try:
                holds(seed)
            except AssertionError:
                return
    pytest.fail(f"not found in {PATIENCE_SEEDS} seeds")
