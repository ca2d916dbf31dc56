"""What people see of a record, what sorts by it, and what adds up."""

from collections.abc import Callable
from typing import Any, NamedTuple

from shoal.catalog.messages import Card, Entry, Value
from shoal.catalog.words import plain, size

# Longer texts are cut in the table; the record's own page has them whole.
MAX_CELL = 80

# A record whose text is longer is searched without keeping its words in small letters.
MAX_WORDS = 1024


# Beyond it a number is written with its exponent.
_LARGE = 1e15


def exact(value: float) -> str:
    """A number that is a name, such as a port."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def amount(value: float) -> str:
    """A number of things."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if abs(value) < _LARGE else f"{value:.3g}"


def hundredths(value: float) -> str:
    """A number whose fraction matters, so that they stand under one another."""
    return f"{value:,.2f}" if abs(value) < _LARGE else f"{value:.3g}"


class Column(NamedTuple):
    """A field, its title, and how its numbers are written if it has any."""

    name: str
    title: str
    written: Callable[[float], str] | None = None
    is_summed: bool = False


COLUMNS = (
    Column("type", "Type"),
    Column("name", "Name"),
    Column("port", "Port", exact),
    Column("owner", "Owner"),
    Column("project", "Project"),
    Column("version", "Version"),
    Column("cpus", "CPUs", amount, is_summed=True),
    Column("memory", "Memory", size, is_summed=True),
    Column("disk", "Disk", size, is_summed=True),
    Column("load", "Load", hundredths),
    Column("host", "Host"),
    Column("heard", "Last heard", exact),  # When it was is the entry's own.
)
NAME, HEARD = 1, len(COLUMNS) - 1
PLACES = {column.name: place for place, column in enumerate(COLUMNS)}


def card_of(entry: Entry) -> Card:
    """What is shown of a record, made once."""
    if entry.card is None:
        fields = entry.fields
        values = tuple(_value(fields.get(column.name)) for column in COLUMNS[:HEARD])
        short = len(entry.after) <= MAX_WORDS
        entry.card = Card(values, _words(fields) if short else None)
    return entry.card


def value_of(entry: Entry, place: int) -> Value:
    """What stands in one of a record's columns."""
    return entry.heard if place == HEARD else card_of(entry).values[place]


def says(entry: Entry, wanted: bytes) -> bool:
    """Is that text anywhere in what a record says? Small letters are wanted."""
    words = card_of(entry).words
    return wanted in (_words(entry.fields) if words is None else words)


def cell(value: Value, place: int) -> str:
    """A value as the table shows it; nothing where a record is silent."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    written = COLUMNS[place].written
    return written(value) if written else plain(value)


def _value(value: Any) -> Value:  # noqa: ANN401 - whatever a record says.
    if value is None or type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    text = plain(value)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _words(fields: dict[str, Any]) -> bytes:
    """All values of a record but when it was heard, in small letters."""
    told = (
        value if type(value) is str else plain(value)
        for name, value in fields.items()
        if name != "lastheardfrom"
    )
    return "\n".join(told).lower().encode(errors="replace")
