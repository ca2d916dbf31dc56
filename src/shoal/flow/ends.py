"""How jobs end: written once into their records, and counted by whoever wrote it."""

import logging
from collections import Counter

import msgspec
from msgspec.structs import replace

from shoal.errors import ShoalError
from shoal.flow.messages import JobRecord, State
from shoal.flow.records import MAX_BODY_BYTES, Records

log = logging.getLogger(__name__)


class Ends:
    """The ends of jobs that this peer wrote."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.written: Counter[State] = Counter()
        self.moved_bytes = 0

    async def write(self, ended: JobRecord, version: int) -> None:
        """A job has ended, unless somebody has said so before."""
        try:
            await self._records.swap("job", ended.id, version, stored(ended))
        except ShoalError as error:
            log.warning("the end of job %s is not written: %s", ended.id, error)
        else:
            self.note(ended)

    def note(self, ended: JobRecord) -> None:
        """Count an end that is written."""
        self.written[ended.state] += 1
        self.moved_bytes += ended.moved_bytes


def stored(job: JobRecord) -> bytes:
    """As a record holds it: a plan of thousands of steps is told its driver only."""
    body = msgspec.msgpack.encode(job)
    if len(body) <= MAX_BODY_BYTES or job.plan is None:
        return body
    plan = replace(job.plan, steps=(), pieces=())
    return msgspec.msgpack.encode(replace(job, plan=plan))
