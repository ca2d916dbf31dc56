"""`python -m bench NAME`: ourselves beside our rivals, on this machine, now."""

import argparse
import importlib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.comparison import Row, as_json, record

# Each is a module of this package with a `run` that gives rows.
NAMES = (
    "net",
    "door",
    "members",
    "catalog",
    "table",
    "storage",
    "client",
    "flow",
    "cluster",
    "fixed",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one comparison, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    chosen = parser.parse_args(arguments)
    names = NAMES if chosen.name == "all" else (chosen.name,)
    rows: list[Row] = []
    for name in names:
        found = importlib.import_module(f"bench.{name}").run(quick=chosen.quick)
        if not found:
            continue  # It said what it misses.
        record(name, found, quick=chosen.quick)
        if not chosen.json:
            Console().print(table(name, found))
        rows += found
    if chosen.json:
        print(as_json(rows))


def table(name: str, rows: Sequence[Row]) -> Table:
    """Rows for people."""
    title = f"{name}: a ratio above 1 is better for us"
    if any(row.rival_name.startswith("quoted") for row in rows):
        title += "\nwhat is quoted was measured on another machine: no ratio of one run"
    drawn = Table("measure", "unit", title=title)
    for column in ("ours", "rival's"):
        drawn.add_column(column, justify="right")
    drawn.add_column("rival")
    drawn.add_column("ratio", justify="right")
    for row in rows:
        figures = f"{row.ours:,.4g}", f"{row.rival:,.4g}"
        drawn.add_row(
            row.measure, row.unit, *figures, row.rival_name, f"{row.ratio:.2f}"
        )
    return drawn


if __name__ == "__main__":
    main()
