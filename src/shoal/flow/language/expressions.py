"""What is to be computed, as a tree: never evaluated as Python.

A leaf of what a user writes is a dataset by name; of what is planned, its place among
the inputs of a step.
"""

from msgspec import Struct

# Deeper trees are refused when they are read: nobody recurses without a bound.
MAX_DEPTH = 64

Number = int | float | bool


class Dataset(Struct, frozen=True, tag="dataset"):
    """All rows of a dataset, as the user named it: its name, id, or a job's id."""

    name: str


class Tagged(Struct, frozen=True, tag="tag"):
    """All rows of the one dataset that has this tag."""

    tag: str


class Constant(Struct, frozen=True, tag="number"):
    """A number as it is written."""

    value: Number


class Input(Struct, frozen=True, tag="input"):
    """What a step is given at that place: rows of a file, of another step, a number."""

    place: int


class Call(Struct, frozen=True, tag="call"):
    """An operation on what its arguments give."""

    operation: str
    arguments: tuple["Expression", ...]


Expression = Dataset | Tagged | Constant | Input | Call
