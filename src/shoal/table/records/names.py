"""Where a record lies: its parcel of a board, its unit and its key in the table."""

from itertools import count

from xxhash import xxh3_64_intdigest

from shoal.table.messages import UNIT_BITS
from shoal.table.records.messages import PARCELS, UNITS
from shoal.table.slots import slot_of

PARCELS_OF_UNIT = PARCELS // UNITS


def _tags() -> list[bytes]:
    """What a key begins with to lie in a unit: the first number that does."""
    found: dict[int, bytes] = {}
    for number in count():
        unit = slot_of(b"%d" % number) >> UNIT_BITS
        if unit < UNITS:
            found.setdefault(unit, b"{%d}" % number)
        if len(found) == UNITS:
            return [found[unit] for unit in range(UNITS)]
    raise AssertionError("numbers do not end")


_TAGS = _tags()


def parcel_of(kind: str, id: str) -> int:  # noqa: A002
    """Which parcel of a board it is in."""
    return xxh3_64_intdigest(f"{kind}/{id}".encode()) % PARCELS


def unit_of(kind: str, id: str) -> int:  # noqa: A002
    """Which unit of the table it is in."""
    return parcel_of(kind, id) // PARCELS_OF_UNIT


def key_of(kind: str, id: str) -> bytes:  # noqa: A002
    """Its key there."""
    return _TAGS[unit_of(kind, id)] + f"{kind}/{id}".encode()


def parcels_of(unit: int) -> range:
    """The parcels that a unit's records are in."""
    return range(unit * PARCELS_OF_UNIT, (unit + 1) * PARCELS_OF_UNIT)
