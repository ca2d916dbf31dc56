"""What becomes true of records, for their service to act upon."""

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.core.records import Record
from shoal.errors import Unanswered
from shoal.table.records.messages import Answer


class Answered(Struct, frozen=True):
    """Whoever owns the record has answered a request of ours."""

    request: int
    answer: Answer


class GaveUp(Struct, frozen=True):
    """No owner has answered in time: it may have been done, if any was asked."""

    request: int
    owner: PeerId | None

    @property
    def error(self) -> Unanswered:
        """What whoever asked is told."""
        if self.owner is None:
            why = "nobody owned it, and nothing was done; ask again"
            return Unanswered(f"records: {why}")
        return Unanswered(
            f"records: {self.owner} owns it and did not answer in time; it may have "
            "been done: read the record"
        )


class Changed(Struct, frozen=True):
    """This stands there now: it was decided."""

    record: Record


RecordsFact = Answered | GaveUp | Changed
