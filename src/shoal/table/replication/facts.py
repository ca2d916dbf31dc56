"""What becomes true of the table, for whoever serves its clients."""

from msgspec import Struct

from shoal.table.messages import View


class Opened(Struct, frozen=True):
    """We answer for these units from now on."""

    units: list[int]


class Rerouted(Struct, frozen=True):
    """Somebody else answers for units, or nobody: look again."""


class Viewed(Struct, frozen=True):
    """That is the view now."""

    view: View


class Departed(Struct, frozen=True):
    """We have left: nothing of the table is ours, and nobody asks us for it."""


class Overruled(Struct, frozen=True):
    """The network was founded anew without us: what we have counts no more."""


Fact = Opened | Rerouted | Viewed | Departed | Overruled
