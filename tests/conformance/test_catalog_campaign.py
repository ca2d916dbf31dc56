"""A small share of the campaign against a catalog."""

from pathlib import Path

from tests.conformance.catalog_campaign import run


def test_nothing_hostile_stops_a_catalog_or_changes_what_it_holds(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, times=1, seed=7, in_time=False) == []
