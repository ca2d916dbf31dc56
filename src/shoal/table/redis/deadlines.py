"""When a key is to end, as commands say it."""

from enum import Enum

from shoal.table.redis.integers import GREATEST
from shoal.table.redis.replies import CommandError


class Unit(Enum):
    """The option's word, what it counts, and from when."""

    SECONDS = (b"EX", 1000, True)
    MILLISECONDS = (b"PX", 1, True)
    SECONDS_AT = (b"EXAT", 1000, False)
    MILLISECONDS_AT = (b"PXAT", 1, False)

    def __init__(self, word: bytes, scale: int, from_now: bool) -> None:
        self.word = word
        self.scale = scale
        self.from_now = from_now

    @classmethod
    def of(cls, word: bytes) -> "Unit | None":
        """The unit an option's word names."""
        return next((each for each in cls if each.word == word), None)


def absolute(amount: int, unit: Unit, now_ms: int, name: str) -> int:
    """The deadline of a value that is set; it is never at or before the beginning."""
    if amount <= 0:
        raise invalid(name)
    return shifted(amount, unit, now_ms, name)


def shifted(amount: int, unit: Unit, now_ms: int, name: str) -> int:
    """The deadline, in milliseconds since 1970; Redis keeps it in 64 bits."""
    deadline_ms = amount * unit.scale
    if not -GREATEST - 1 <= deadline_ms <= GREATEST:
        raise invalid(name)
    if unit.from_now:
        deadline_ms += now_ms
    if deadline_ms > GREATEST:
        raise invalid(name)
    return deadline_ms


def invalid(name: str) -> CommandError:
    """There is no such time."""
    return CommandError(f"ERR invalid expire time in '{name}' command")
