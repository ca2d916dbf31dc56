"""Tables for people: as wide as the terminal, or a line a row for other programs."""

import sys
from collections.abc import Iterable, Sequence

# No row is longer; rich would break it where a terminal ends.
UNBROKEN = 100_000


def tabulate(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, foldable: Sequence[str]
) -> None:
    """Print rows below titles; where space is short, only some columns are folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        folds = title in foldable
        table.add_column(title, no_wrap=not folds, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # What looks like markup is none.
    width = None if sys.stdout.isatty() else UNBROKEN
    Console(width=width, highlight=False).print(table)
