"""Whole numbers as Redis reads them: 64 bits, no blank, no plus, no leading zero."""

import re

from shoal.table.redis.replies import CommandError

LEAST = -(1 << 63)
GREATEST = (1 << 63) - 1

NOT_AN_INTEGER = "ERR value is not an integer or out of range"

_FORM = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z")


def integer(word: bytes, wrong: str = NOT_AN_INTEGER) -> int:
    """The number a word says, or an error with these words."""
    number = int(word) if _FORM.match(word) else None
    if number is None or not LEAST <= number <= GREATEST:
        raise CommandError(wrong)
    return number
