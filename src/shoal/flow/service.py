"""Flow as a peer uses it: expressions in, jobs out, datasets wherever they lie."""

import asyncio
import logging
import os
import secrets
import time
from base64 import b32encode
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from shoal.core.disk import Disk
from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage, NotFound, ShoalError
from shoal.flow.arithmetic.operations import LIBRARY
from shoal.flow.caring import DRIVE, LOOK_AFTER_S, Caring
from shoal.flow.carrying import FORGET, ORDER, Carrier
from shoal.flow.datasets.library import Library, Wish
from shoal.flow.datasets.publishing import shown
from shoal.flow.datasets.rows import TOPIC, Streaming, is_there
from shoal.flow.datasets.serving import Whole
from shoal.flow.datasets.shelf import Shelf
from shoal.flow.driving import Driver, Wires
from shoal.flow.ending import Ends, failed, stored
from shoal.flow.jobs import ENDED, KIND, Jobs
from shoal.flow.language.grammar import parse
from shoal.flow.messages import DatasetRecord, JobRecord, Plan, State
from shoal.flow.plans.asking import Asked, Question
from shoal.flow.protocol import is_sound
from shoal.flow.records import Record, Records
from shoal.flow.work.workers import Workers
from shoal.net.asking import Handler
from shoal.net.streams import Serve

__all__ = [
    "DatasetRecord",
    "FlowFigures",
    "FlowService",
    "JobRecord",
    "Question",
    "State",
    "Whole",
    "Wish",
    "shown",
]

log = logging.getLogger(__name__)

LIVE = "flow-live"

LIVE_S = 2.0

# Between two looks for results that nobody knows: a guess.
TIDY_S = 3600.0

_handed = msgspec.msgpack.Decoder(tuple[JobRecord, int])
_text = msgspec.msgpack.Decoder(str)
_found = msgspec.msgpack.Decoder(JobRecord | None)
_encode = msgspec.msgpack.Encoder().encode


class Network(Wires, Streaming, Protocol):
    """What flow needs of the network, to ask and to be asked."""

    def serve(self, topic: str, handler: Handler) -> None:
        """Say who answers requests."""

    def on_post(self, topic: str, take: Callable[[PeerId, Raw], None]) -> None:
        """Say who takes what needs no answer."""

    def serve_stream(self, topic: str, serve: Serve) -> None:
        """Say who serves streams."""


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """How a peer's share in jobs is, in numbers."""

    jobs_ended: Mapping[State, int]  # By state, of those whose end was written here.
    steps_ended: Mapping[State, int]  # By state, of those carried out here.
    moved_bytes: int  # By those jobs, as their records say.
    received_bytes: int  # Rows that other peers sent, whatever for.
    tasks_queued: int
    datasets: int


class FlowService:
    """One peer's share in all jobs."""

    def __init__(
        self,
        me: PeerId,
        directory: Path,
        disk: Disk,
        *,
        records: Records,
        network: Network,
        workers: int | None,
        memory_bytes: int | None,
        fail: Callable[[Exception], None],
        look_after_s: float = LOOK_AFTER_S,
    ) -> None:
        """So many workers, with so much memory each; by default all they may have."""
        self._me = me
        self._records = records
        self._network = network
        self._fail = fail
        count = workers or max(1, (os.cpu_count() or 2) - 1)
        self._workers = Workers(count, fail, memory_bytes=memory_bytes)
        self._shelf = Shelf(disk, is_there)
        self._carrier = Carrier(me, self._workers, self._shelf, network, directory)
        self._carrier.sweep()
        self._rows = self._carrier.rows
        self._ends = Ends(records)
        self._driver = Driver(me, network, records, self._carrier, self._ends, fail)
        self.library = Library(me, records, self._workers, self._shelf)
        self._jobs = Jobs(records)
        self._asked = Asked(self.library, self._jobs, network.present, me, Random())
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._caring = Caring(
            *(me, self._jobs, self._driver, self._asked),
            *(self._ends, records, network),
            look_after_s=look_after_s,
        )
        network.serve(ORDER, self._carrier.ordered)
        network.serve(DRIVE, self._drive)
        network.serve(LIVE, self._live)
        network.on_post(FORGET, self._carrier.forgotten)
        network.serve_stream(TOPIC, self._rows.give)
        records.watch(KIND, self._told)

    async def start(self, data: tuple[Path, ...] = ()) -> None:
        """Begin to work; add these files and folders."""
        self._jobs.start()
        self.library.start()
        await self._workers.start()
        for job in self._jobs.open(self._me):  # Our last life drove it.
            reason = f"its driver, {self._me}, restarted"
            self._spawn(self._caring.give_up(job.id, self._me, reason))
        self._spawn(self._caring.look_after())
        for path in data:
            await self.library.add(Wish(str(path), replace=True))
        self._spawn(self._tidy())

    async def stop(self) -> None:
        """Work no more."""
        for task in self._tasks:
            task.cancel()
        await self._driver.stop()
        await self._workers.stop()

    def lost(self, peer: PeerId) -> None:
        """A peer has gone."""
        self._driver.lost(peer)
        self._carrier.lost(peer)
        for job in self._caring.orphans():
            self._spawn(self._caring.take_over(job))

    # Jobs

    async def submit(self, question: Question) -> JobRecord:
        """Take a job on. What is wrong beyond its text is told by its record."""
        parse(question.expression)
        job = JobRecord(
            *("j" + _letters(), question.expression, "init", time.time(), self._me),
            *(question.user, question.tags),
            within_s=question.within_s,
            collect=question.collect,
        )
        try:
            job = await self._caring.planned(job)
        except ShoalError as error:
            job = failed(job, str(error))
        version = await self._records.create(KIND, job.id, stored(job))
        if job.state == "init":
            self._spawn(self._caring.hand_over(job, version))
        else:
            self._ends.note(job)
        return job

    async def explain(self, question: Question) -> Plan:
        """How it would be carried out."""
        _, plan = await self._asked.plan(question.expression, question.collect)
        return plan

    def jobs(self, tag: str = "") -> list[JobRecord]:
        """The jobs this peer has heard of, or those with a tag, the latest first."""
        return self._jobs.latest(tag)

    async def job(self, name: str) -> JobRecord:
        """A job as it is now, told by its driver while it is under way."""
        job, _ = await self._jobs.read(name)
        if job.state in ENDED or job.driver is None:
            return job
        return await self._ask_driver(job) or job

    async def wait(self, name: str, within_s: float) -> JobRecord:
        """A job when it has ended, or as it is then."""
        job = await self.job(name)
        if job.state in ENDED:
            return job
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job.id, []).append(waiter)
        try:
            latest, _ = await self._jobs.read(job.id)
            if latest.state not in ENDED:
                await asyncio.wait([waiter], timeout=within_s)
        finally:
            self._waiting[job.id].remove(waiter)
            if not self._waiting[job.id]:
                del self._waiting[job.id]
        return await self.job(job.id)

    def driving(self, job: str) -> bool:
        """Is it driven from here?"""
        return self._driver.drives(job)

    @property
    def carrying(self) -> int:
        """How many steps are carried out here."""
        return self._carrier.carrying

    def operations(self) -> list[dict[str, str]]:
        """What can be computed, by name."""
        return [
            {"name": each.name, "algebra": each.algebra, "help": each.help}
            | {"version": each.version}
            for each in LIBRARY.values()
        ]

    def described(self, record: DatasetRecord) -> dict[str, Any]:
        """A dataset, as JSON tells it, and which of its parts can be had now."""
        present = self._network.present()
        parts = [
            {
                **msgspec.to_builtins(part),
                "present": any(each in present for each in part.holders),
            }
            for part in record.parts
        ]
        return {
            **msgspec.to_builtins(record),
            "parts": parts,
            "rows": record.rows,
            "size_bytes": record.size_bytes,
            "type": shown(record.form),
        }

    async def dataset(self, name: str) -> DatasetRecord:
        """A dataset by its name or id, or by the id of the job that made it."""
        try:
            return await self.library.find(name)
        except NotFound:
            job = self._jobs.known(name)
            if job is None:
                raise
        if job.dataset is None:
            raise NotFound(f"job {job.id}: it has no rows; see: shoal result {job.id}")
        return await self.library.find(job.dataset)

    async def whole(self, name: str) -> Whole:
        """A dataset to be read."""
        record = await self.dataset(name)
        rows, find = self._rows, self._carrier.find
        return Whole(record, rows, find, self._network.present, self._me)

    def figures(self) -> FlowFigures:
        """What is counted."""
        return FlowFigures(
            jobs_ended=self._ends.written,
            steps_ended=self._carrier.ended,
            moved_bytes=self._ends.moved_bytes,
            received_bytes=self._rows.received_bytes,
            tasks_queued=self._workers.queued,
            datasets=self.library.size,
        )

    # Driving

    def _drive(self, _: PeerId, body: Raw) -> bytes:
        job, version = decoded(_handed, body)
        if job.plan is None or not is_sound(job.plan):
            raise MalformedMessage(f"job {job.id}: its plan does not hold together")
        self._driver.take(job, version, moved_bytes=len(body))
        return b"\xc0"

    def _live(self, _: PeerId, body: Raw) -> bytes:
        return _encode(self._driver.live(decoded(_text, body)))

    async def _ask_driver(self, job: JobRecord) -> JobRecord | None:
        assert job.driver, "it has one"
        if job.driver == self._me:
            return self._driver.live(job.id)
        try:
            answer = await self._network.ask(
                job.driver, LIVE, _encode(job.id), within_s=LIVE_S
            )
            found: JobRecord | None = decoded(_found, answer)
            return found
        except ShoalError:
            return None

    # Endings

    async def _settle(self, job: JobRecord) -> None:
        """Keep of what was made here only what the result is made of."""
        kept: list[str] = []
        if job.dataset:
            try:
                kept = await self.library.parts_of(job.dataset)
            except ShoalError as error:
                log.warning("what was made for %s is kept: %s", job.id, error)
                return
        self._carrier.settle(job.id, kept)

    async def _tidy(self) -> None:
        """Remove results that no record speaks of: their drivers died."""
        while True:
            await asyncio.sleep(TIDY_S)
            for held in await self._carrier.unknown(self.library.has):
                with suppress(ShoalError):
                    if not await self._records.read("dataset", held.dataset):
                        self._carrier.remove(held)

    def _told(self, record: Record) -> None:
        if self._carrier.has_made(record.id):
            job = self._jobs.known(record.id)
            if job and job.state in ENDED:
                self._spawn(self._settle(job))
        waiters = self._waiting.get(record.id)
        job = self._jobs.known(record.id) if waiters else None
        if waiters and (job is None or job.state in ENDED):
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)


def _letters() -> str:
    return b32encode(secrets.token_bytes(10)).decode().lower()[:12]
