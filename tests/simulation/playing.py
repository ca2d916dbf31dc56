"""How properties are held, and planted faults found, seed after seed."""

from collections.abc import Sequence

import pytest

from shoal.errors import ShoalError
from tests.seeds import seeds
from tests.simulation.plants import Plant
from tests.simulation.properties import Property


def named(each: object) -> str:
    """How a test is called after what it plays."""
    return getattr(each, "__name__", "")


def hold(holds: Property, share_s: float) -> None:
    """It holds for as many seeds as there is time for."""
    for seed in seeds(share_s):
        try:
            holds(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def find(
    plant: Plant,
    finders: Sequence[Property],
    monkeypatch: pytest.MonkeyPatch,
    patience_seeds: int,
    first_seed: int = 0,
) -> None:
    """A planted fault is found within so many seeds."""
    plant(monkeypatch)
    for seed in range(first_seed, first_seed + patience_seeds):
        for holds in finders:
            try:
                holds(seed)
            except (AssertionError, ShoalError):
                return
    pytest.fail(f"not found in {patience_seeds} seeds")
