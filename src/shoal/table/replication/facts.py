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


Fact = Opened | Rerouted | Viewed
