"""How a command ends: what it prints, and the code it ends with."""

import json
import sys
from collections.abc import Callable
from typing import Any

from shoal import errors

DONE, FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED, UNKNOWN, DEADLINE = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    124,
)

# The first that fits. A command line that makes no sense is the caller's fault; an
# address that is taken is nobody's.
_CODES: list[tuple[type[errors.ShoalError], int]] = [
    (errors.NoPeer, UNREACHABLE),
    (errors.NotFound, NOT_FOUND),
    (errors.Unreachable, UNREACHABLE),
    (errors.Unanswered, DEADLINE),
    (errors.Unknown, UNKNOWN),
    (errors.Refused, REFUSED),
    (errors.Stranger, REFUSED),
    (errors.InvalidAddress, USAGE),
    (errors.InvalidName, USAGE),
    (errors.DirectoryHeld, FAILED),
    (errors.DirectoryDamaged, FAILED),
    (errors.NotListening, FAILED),
    (errors.Misuse, USAGE),
]


def code_of(error: errors.ShoalError) -> int:
    """The exit code that says what kind of error it was."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def parts(error: errors.ShoalError) -> dict[str, str]:
    """The thing, the cause and the next step, which every message names in order."""
    if isinstance(error, errors.BadExpression) and "\n" in str(error):
        return _of_a_text(error)
    thing, _, rest = str(error).partition(": ")
    cause, _, remedy = rest.rpartition("; ")
    return {
        "kind": type(error).__name__,
        "thing": thing,
        "cause": cause or remedy,
        "next": remedy if cause else "",
    }


def _of_a_text(error: errors.ShoalError) -> dict[str, str]:
    """What is wrong, with the piece of the text that a caret points at."""
    cause, piece, caret = str(error).split("\n")
    return {
        "kind": type(error).__name__,
        "thing": f"expression {piece.strip()}",
        "cause": cause,
        "next": f"correct it at {piece[caret.index('^') :] or 'its end'}",
    }


def complain(error: errors.ShoalError, *, as_json: bool) -> int:
    """Say what went wrong in one line; the exit code."""
    text = json.dumps({"error": parts(error)}) if as_json else f"shoal: {error}"
    print(text, file=sys.stderr)
    return code_of(error)


def show(
    value: Any,  # noqa: ANN401 - it is whatever JSON can say.
    *,
    as_json: bool,
    people: Callable[[Any], None] = print,
) -> None:
    """Print a result: for programs, or for people."""
    if as_json:
        print(json.dumps(value))
    else:
        people(value)
