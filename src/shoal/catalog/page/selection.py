"""Which records somebody wants to see, in which order, and what they sum up to.

Each of these is a generator: whoever runs it may do something else at each step.
"""

from collections.abc import Generator, Sequence
from operator import itemgetter

from shoal.catalog.messages import Entry
from shoal.catalog.page.columns import COLUMNS, PLACES, card_of, says, value_of
from shoal.catalog.page.view import View

# So many records take a tenth of a millisecond.
STRIDE = 16

_SUMMED = [place for place, column in enumerate(COLUMNS) if column.is_summed]


class Sum:
    """What several records have together, by column."""

    def __init__(self) -> None:
        self.count = 0
        self.amounts: dict[int, float] = {}

    def add(self, count: int, amounts: dict[int, float]) -> None:
        """So many records more, which have so much."""
        self.count += count
        for place, amount in amounts.items():
            self.amounts[place] = self.amounts.get(place, 0) + amount


def chosen(
    view: View, entries: Sequence[Entry]
) -> Generator[None, None, Sequence[Entry]]:
    """Those of a type that say something."""
    wanted = view.filter.lower().encode(errors="replace")
    if not wanted and not view.type:
        return entries
    found = []
    for number, entry in enumerate(entries):
        if number % STRIDE == 0:
            yield
        if view.type and entry.type != view.type:
            continue
        if not wanted or says(entry, wanted):
            found.append(entry)
    return found


def ordered(
    view: View, entries: Sequence[Entry]
) -> Generator[None, None, Sequence[Entry]]:
    """Numbers, then texts, then who is silent, however the first two are turned."""
    if view.order() == "name":
        return entries  # They come like that.
    place = PLACES[view.sort]
    numbers: list[tuple[float, Entry]] = []
    texts: list[tuple[str, Entry]] = []
    silent: list[Entry] = []
    for number, entry in enumerate(entries):
        if number % STRIDE == 0:
            yield
        value = value_of(entry, place)
        if value is None:
            silent.append(entry)
        elif isinstance(value, str):
            texts.append((value.lower(), entry))
        else:
            numbers.append((value, entry))
    numbers.sort(key=itemgetter(0), reverse=view.down)  # Equals stay by name.
    yield
    texts.sort(key=itemgetter(0), reverse=view.down)
    return [entry for _, entry in numbers] + [entry for _, entry in texts] + silent


def summed(entries: Sequence[Entry]) -> Generator[None, None, dict[str, Sum]]:
    """What the records of each type have together."""
    sums: dict[str, Sum] = {}
    for number, entry in enumerate(entries):
        if number % STRIDE == 0:
            yield
        values, amounts = card_of(entry).values, {}
        for place in _SUMMED:
            value = values[place]
            if isinstance(value, int | float):
                amounts[place] = value
        kind = entry.type
        if kind not in sums:
            sums[kind] = Sum()
        sums[kind].add(1, amounts)
    return sums
