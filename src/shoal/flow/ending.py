"""How jobs end in their records: said until it is heard, in words that fit."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from shoal.errors import Conflict, NoSpace, Overloaded, ShoalError, Unknown
from shoal.flow.messages import JobRecord, State
from shoal.flow.records import MAX_BODY_BYTES, Records

log = logging.getLogger(__name__)

# Whoever owns the record is being replaced, or disks are full: asked again then.
AGAIN_S = 1.0

_Found = TypeVar("_Found")


async def insist(attempt: Callable[[], Awaitable[_Found]]) -> _Found:
    """Try it until it is known to be done, or refused for good."""
    while True:
        try:
            return await attempt()
        except (Unknown, Overloaded, NoSpace) as error:
            log.warning("%s; it is tried again", error)
            await asyncio.sleep(AGAIN_S)


class Ends:
    """The ends of jobs that this peer wrote, and counted."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.written: Counter[State] = Counter()
        self.moved_bytes = 0

    async def write(self, ended: JobRecord, version: int) -> bool:
        """A job has ended; false if somebody else has said what became of it."""
        body = stored(ended)

        async def attempt() -> bool:
            try:
                await self._records.swap("job", ended.id, version, body)
            except Conflict:  # Perhaps with our own word, whose answer was lost.
                stands = await self._records.read("job", ended.id)
                return stands is not None and stands.body == body
            return True

        try:
            stands = await insist(attempt)
        except ShoalError as error:
            log.warning("the end of job %s is not written: %s", ended.id, error)
            return False
        if stands:
            self.note(ended)
        return stands

    def note(self, ended: JobRecord) -> None:
        """Count an end that is written."""
        self.written[ended.state] += 1
        self.moved_bytes += ended.moved_bytes


def failed(job: JobRecord, reason: str) -> JobRecord:
    """A job as it ends if it cannot be done."""
    return replace(job, state="failed", reason=reason[:1000])


def stored(job: JobRecord) -> bytes:
    """As a record holds it: of thousands of steps it is told the first ones only."""
    body = msgspec.msgpack.encode(job)
    if len(body) <= MAX_BODY_BYTES:
        return body
    if job.plan:
        job = replace(job, plan=replace(job.plan, steps=(), reductions=(), pieces=()))
        body = msgspec.msgpack.encode(job)
    while len(body) > MAX_BODY_BYTES and job.subs:
        job = replace(job, subs=job.subs[: len(job.subs) // 2])
        body = msgspec.msgpack.encode(job)
    return body
