"""A dataset as one `.npy` file, wherever its parts lie: any bytes of it, in order."""

from collections.abc import AsyncIterator, Callable

from shoal.core.machine import PeerId
from shoal.errors import Missing, ShoalError
from shoal.flow.datasets.publishing import refuse_incomplete
from shoal.flow.datasets.rows import Rows, check, read
from shoal.flow.messages import DatasetRecord, Part, Source, Wanted, row_bytes
from shoal.flow.work.npy import npy_head


class Whole:
    """One dataset, read from its holders."""

    BREAKS = (ShoalError, OSError)  # What may end it midway.

    def __init__(
        self,
        record: DatasetRecord,
        rows: Rows,
        find: Callable[[Wanted], Source],
        present: Callable[[], list[PeerId]],
        me: PeerId,
    ) -> None:
        self.record = record
        self._head = npy_head(record.form, record.rows)
        self._row_bytes = row_bytes(record.form)
        self._rows = rows
        self._find = find
        self._present = present
        self._me = me
        self.size_bytes = len(self._head) + record.size_bytes

    @property
    def mark(self) -> str:
        """Another one means other bytes."""
        return f"{self.record.id}-{self.record.version}"

    async def check(self) -> None:
        """Raise, in words, what can be told before the first byte is sent."""
        refuse_incomplete(self.record)
        present = self._present()
        for part in self.record.parts:
            if self._me in part.holders:
                await check(self._find(Wanted(0, part.rows, part=part.id)))
            elif not any(each in present for each in part.holders):
                raise self._missing(part)

    def _missing(self, part: Part) -> Missing:
        return Missing(
            f"dataset {self.record.name}: its part {part.name} is with nobody who is "
            f"present, {' and '.join(part.holders)} held it last; start it again"
        )

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """These bytes of the file."""
        if start < len(self._head):
            yield self._head[start : min(stop, len(self._head))]
        at = len(self._head)
        for part in self.record.parts:
            first, last = max(start - at, 0), min(stop - at, part.size_bytes)
            if first < last:
                async for piece in self._read_part(part, first, last):
                    yield piece
            at += part.size_bytes

    async def _read_part(
        self, part: Part, first: int, last: int
    ) -> AsyncIterator[bytes]:
        """These bytes of a part: whole rows are asked for, and cut."""
        size = self._row_bytes
        wanted = Wanted(first // size, -(-last // size), part=part.id)
        at = wanted.start * size
        async for piece in self._from_holder(part, wanted):
            if cut := piece[max(first - at, 0) : max(last - at, 0)]:
                yield cut
            at += len(piece)

    async def _from_holder(self, part: Part, wanted: Wanted) -> AsyncIterator[bytes]:
        if self._me in part.holders:
            async for piece in read(self._find(wanted)):
                yield piece
            return
        present = self._present()
        holder = next((each for each in part.holders if each in present), None)
        if holder is None:
            raise self._missing(part)
        length = (wanted.stop - wanted.start) * self._row_bytes
        async for piece in self._rows.take(holder, wanted, length):
            yield piece
