"""What becomes true of records, for their service to act upon."""

from msgspec import Struct

from shoal.table.records.messages import Answer, Entry


class Answered(Struct, frozen=True):
    """The keeper has answered a request of ours."""

    request: int
    answer: Answer


class GaveUp(Struct, frozen=True):
    """No keeper has answered in time: it may have been done."""

    request: int


class Changed(Struct, frozen=True):
    """This stands there now, and is safe here."""

    entry: Entry


RecordsFact = Answered | GaveUp | Changed
