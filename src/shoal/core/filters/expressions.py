"""What a filter is made of: a tree, its depth bounded."""

from typing import Any

from msgspec import Struct

# What JSON can say. `Any` inside: a type that names itself costs every reader more.
Value = bool | int | float | str | list[Any] | dict[str, Any] | None

# A guess, far above any filter that people or programs write: as deep as Python's own
# stack lets a parser and an evaluator go wherever they are called.
MAX_DEPTH = 64


class Constant(Struct, frozen=True):
    """A value as it stands."""

    value: Value


class Name(Struct, frozen=True):
    """What the record has under that name."""

    name: str


class Listing(Struct, frozen=True):
    """A list of what its parts come to."""

    parts: tuple["Expression", ...]


class Mapping(Struct, frozen=True):
    """An object; of equal keys the first counts."""

    pairs: tuple[tuple["Expression", "Expression"], ...]


class Unary(Struct, frozen=True):
    """One of: not - +."""

    sign: str
    operand: "Expression"


class Binary(Struct, frozen=True):
    """One of: == != < <= > >= + - * / %."""

    sign: str
    left: "Expression"
    right: "Expression"


class Junction(Struct, frozen=True):
    """One of: and or. A chain of them nests to no depth."""

    sign: str
    operands: tuple["Expression", ...]


class Lookup(Struct, frozen=True):
    """What an object has under a key, or a list at a place."""

    of: "Expression"
    at: "Expression"


class Slice(Struct, frozen=True):
    """The part of a list between two places."""

    of: "Expression"
    start: "Expression | None"
    end: "Expression | None"


class Call(Struct, frozen=True):
    """A function of some values."""

    function: str
    arguments: tuple["Expression", ...]


class Failure(Struct, frozen=True):
    """What never has a value: error(...)."""


Expression = (
    Constant
    | Name
    | Listing
    | Mapping
    | Unary
    | Binary
    | Junction
    | Lookup
    | Slice
    | Call
    | Failure
)
