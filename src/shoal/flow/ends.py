"""How jobs end: written once into their records, and counted by whoever wrote it."""

import asyncio
import logging
from collections import Counter

import msgspec
from msgspec.structs import replace

from shoal.errors import NoSpace, Overloaded, ShoalError, Unknown
from shoal.flow.messages import JobRecord, State
from shoal.flow.records import MAX_BODY_BYTES, Records

# Each try takes the ten seconds that records have for themselves: an hour in all.
PAUSES_S = (0.0, 1.0, 5.0, *(30.0,) * 90)

log = logging.getLogger(__name__)


class Ends:
    """The ends of jobs that this peer wrote."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.written: Counter[State] = Counter()
        self.moved_bytes = 0

    async def write(self, ended: JobRecord, version: int) -> None:
        """A job has ended, unless somebody has said so before.

        As long as nobody can keep it, it is tried again: what was computed is not lost
        because the keeper is being replaced.
        """
        for pause_s in PAUSES_S:
            try:
                await self._records.swap("job", ended.id, version, stored(ended))
            except (Unknown, Overloaded, NoSpace) as error:
                log.warning("the end of job %s is not written yet: %s", ended.id, error)
                await asyncio.sleep(pause_s)
            except ShoalError as error:
                log.warning("the end of job %s is not written: %s", ended.id, error)
                return
            else:
                self.note(ended)
                return

    def note(self, ended: JobRecord) -> None:
        """Count an end that is written."""
        self.written[ended.state] += 1
        self.moved_bytes += ended.moved_bytes


def failed(job: JobRecord, reason: str) -> JobRecord:
    """A job as it ends if it cannot be done."""
    return replace(job, state="failed", reason=reason[:1000])


def stored(job: JobRecord) -> bytes:
    """As a record holds it: what thousands of steps did is told only while they do."""
    body = msgspec.msgpack.encode(job)
    if len(body) > MAX_BODY_BYTES and job.plan:
        job = replace(job, plan=replace(job.plan, steps=(), pieces=()))
        body = msgspec.msgpack.encode(job)
    if len(body) > MAX_BODY_BYTES:
        body = msgspec.msgpack.encode(replace(job, subs=()))
    return body
