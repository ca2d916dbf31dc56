"""Changes that are committed together, and how each is taken back."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.table.messages import Entry, Grave, Group, Item

Slot = dict[bytes, Entry]

# What is held of a key.
Copy = Entry | Grave


@dataclass(frozen=True, slots=True)
class Flushed:
    """All there was."""

    slots: list[Slot]
    size: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a unit had."""

    unit: int
    entries: dict[bytes, Entry]
    graves: dict[bytes, Grave]


Before = Entry | Grave | Flushed | Forgotten | None


@dataclass(slots=True, eq=False)
class Batch:
    """What is committed together, and may be told together."""

    ticket: int
    weight: int = 0  # In bytes.
    items: list[Item] = field(default_factory=list)
    undo: list[Before] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)  # When, in the order of changes.
    # What is told when it is safe: what happened to keys, what was published.
    news: list[Callable[[], object]] = field(default_factory=list)
    # Read or written, and kept by others too: it is safe when enough of them say so.
    units: dict[int, None] = field(default_factory=dict)
    own: list[Group] = field(default_factory=list)  # Changes that others are to keep.
    kept: bool = False  # By our own disk.
    # Which of its items are copies of what others own, and not for us to tell.
    foreign: dict[int, None] = field(default_factory=dict)
