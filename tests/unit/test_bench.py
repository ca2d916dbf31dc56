"""The form of what a comparison gives: rows, medians, and the file that keeps them."""

import json
from itertools import count
from pathlib import Path

import pytest

from bench.__main__ import main, table
from bench.catalog import MEDIUM, QUOTED, SMALL, update
from bench.comparison import (
    Round,
    Row,
    Standing,
    alternate,
    as_json,
    fastest,
    less_is_better,
    more_is_better,
    record,
)
from shoal.catalog.updates import decode

KEYS = ["measure", "unit", "ours", "rival_name", "rival", "ratio"]
ROWS = [
    more_is_better("round trips", "1/s", 30_000, "pyzmq", 10_000),
    less_is_better("round trips: CPU each", "us", 30, "pyzmq", 60),
]


def test_a_row_as_json_has_exactly_these_keys() -> None:
    rows = json.loads(as_json(ROWS))
    assert [list(row) for row in rows] == [KEYS, KEYS]


def test_a_ratio_above_one_is_better_for_us_whatever_is_measured() -> None:
    assert more_is_better("rate", "1/s", 30, "it", 10).ratio == 3
    assert more_is_better("rate", "1/s", 10, "it", 20).ratio == 0.5
    assert less_is_better("cost", "us", 10, "it", 30).ratio == 3
    assert less_is_better("cost", "us", 20, "it", 10).ratio == 0.5


def test_figures_have_four_digits_and_the_ratio_is_of_the_whole_ones() -> None:
    row = more_is_better("rate", "1/s", 123_456.7, "it", 2 / 3)
    assert (row.ours, row.rival) == (123_500, 0.6667)
    assert row.ratio == pytest.approx(123_456.7 * 3 / 2, abs=0.001)


def test_a_file_keeps_rows_date_and_machine(tmp_path: Path) -> None:
    path = record("net", ROWS, quick=True, folder=tmp_path)
    kept = json.loads(path.read_text())
    assert path.name == "net.json"
    assert list(kept) == ["name", "date", "quick", "machine", "rows"]
    assert {"cpu", "cores", "kernel", "python"} <= set(kept["machine"])
    assert kept["rows"] == json.loads(as_json(ROWS))
    assert [each.name for each in tmp_path.iterdir()] == ["net.json"]


def test_rounds_alternate_the_first_does_not_count_and_medians_stand() -> None:
    turns: list[str] = []
    seconds = {"a": iter([9.0, 1.0, 4.0, 2.0]), "b": iter([9.0, 5.0, 5.0, 5.0])}

    def contender(name: str) -> Round:
        turns.append(name)
        return Round(operations=20, seconds=next(seconds[name]), cpu_s=0.2)

    standings = alternate(
        {"a": lambda: contender("a"), "b": lambda: contender("b")}, rounds=3
    )
    assert "".join(turns) == "abbaabba"
    assert standings == {"a": Standing(10, 0.01), "b": Standing(4, 0.01)}


def test_the_fastest_form_of_a_rival_is_taken() -> None:
    rates = count(1)
    forms = ("ours", "pyzmq REQ/REP", "pyzmq DEALER/ROUTER", "asyncio streams")
    standings = {form: Standing(next(rates), 0) for form in forms}
    assert fastest(standings, "pyzmq") == "pyzmq DEALER/ROUTER"


def test_the_table_shows_every_row() -> None:
    assert table("net", ROWS).row_count == len(ROWS)


def test_an_unknown_name_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cooking"])
    assert ended.value.code == 2
    assert "net" in capsys.readouterr().err


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ROWS[0].ratio = 9.0  # type: ignore[misc]
    assert isinstance(ROWS[0], Row)


@pytest.mark.parametrize("size", [SMALL, MEDIUM])
def test_updates_of_the_catalog_have_their_size_and_change_each_turn(size: int) -> None:
    texts = {update(size, n, turn) for n in (0, 7, 19_999) for turn in (0, 1, 50)}
    assert [len(each) for each in texts] == [size] * 9
    assert all(decode(each)["type"] == "hashtable" for each in texts)


def test_quoted_figures_are_said_to_be_quoted() -> None:
    rows = [less_is_better("page", "ms", 1, QUOTED, 2)]
    assert "another machine" in str(table("catalog", rows).title)
