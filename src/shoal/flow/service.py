"""Flow as a peer uses it: expressions in, jobs out, datasets wherever they lie."""

import asyncio
import logging
import os
import secrets
import time
from base64 import b32encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from shoal.core.disk import Disk
from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import ShoalError
from shoal.flow.arithmetic.operations import LIBRARY
from shoal.flow.carrying import FORGET, ORDER, Carrier
from shoal.flow.datasets.keeping import Keeping
from shoal.flow.datasets.library import Library, Wish
from shoal.flow.datasets.publishing import shown
from shoal.flow.datasets.rows import TOPIC, Streaming
from shoal.flow.datasets.serving import Whole
from shoal.flow.datasets.shelf import Shelf
from shoal.flow.driving import Driver, Wires, stored, write_end
from shoal.flow.jobs import ENDED, KIND, Jobs
from shoal.flow.language.grammar import parse
from shoal.flow.messages import DatasetRecord, JobRecord, Plan
from shoal.flow.plans.asking import Asked, Question
from shoal.flow.records import Record, Records
from shoal.flow.work.workers import Workers
from shoal.net.asking import Handler
from shoal.net.streams import Serve

__all__ = ["DatasetRecord", "FlowService", "JobRecord", "Question", "Whole", "Wish"]

log = logging.getLogger(__name__)

DRIVE, LIVE = "flow-drive", "flow-live"

# A peer that does not take a job over by then is asked no more.
HAND_OVER_S = 10.0
LIVE_S = 2.0
DRIVERS = 3  # So many are tried.

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
    ) -> None:
        """So many workers, with so much memory each; by default all they may have."""
        self._me = me
        self._records = records
        self._network = network
        self._fail = fail
        count = workers or max(1, (os.cpu_count() or 2) - 1)
        self._workers = Workers(count, fail, memory_bytes=memory_bytes)
        self._shelf = Shelf(disk)
        self._keeping = Keeping(self._shelf)
        self._carrier = Carrier(
            *(me, self._workers, self._shelf, self._keeping, network, directory)
        )
        self._rows = self._carrier.rows
        self._driver = Driver(me, network, records, self._carrier, fail)
        self.library = Library(me, records, self._workers, self._shelf, self._keeping)
        self._jobs = Jobs(records)
        self._asked = Asked(self.library, self._jobs, network.present, me, Random())
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
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
        await asyncio.to_thread(self._carrier.sweep)
        await self._workers.start()
        for job in self._jobs.open(self._me):  # Our last life drove it.
            self._spawn(self._give_up(job.id, f"its driver, {self._me}, restarted"))
        for path in data:
            await self.library.add(Wish(str(path), replace=True))

    async def stop(self) -> None:
        """Work no more."""
        for task in self._tasks:
            task.cancel()
        await self._driver.stop()
        await self._workers.stop()
        self._keeping.stop()

    def lost(self, peer: PeerId) -> None:
        """A peer has gone."""
        self._driver.lost(peer)
        self._carrier.lost(peer)
        for job in self._jobs.open(peer):
            if self._cares_for(job):
                self._spawn(self._take_over(job.id, peer))

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
            job = await self._planned(job)
        except ShoalError as error:
            job = replace(job, state="failed", reason=str(error)[:1000])
        version = await self._records.create(KIND, job.id, stored(job))
        if job.state == "init":
            self._spawn(self._hand_over(job, version))
        return job

    async def explain(self, question: Question) -> Plan:
        """How it would be carried out."""
        _, _, plan = await self._asked.plan(question.expression, question.collect)
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

    async def whole(self, name: str) -> Whole:
        """A dataset to be read."""
        record = await self.library.find(name)
        rows, find = self._rows, self._carrier.find
        return Whole(record, rows, find, self._network.present, self._me)

    # Driving

    async def _planned(self, job: JobRecord) -> JobRecord:
        inputs, _, plan = await self._asked.plan(job.expression, job.collect)
        return replace(job, inputs=inputs, plan=plan, driver=plan.collector)

    async def _hand_over(self, job: JobRecord, version: int) -> None:
        """Let its driver take it; if it cannot, plan once more without it."""
        for _ in range(DRIVERS):
            driver = job.driver
            assert driver, "it is planned"
            if driver == self._me:
                self._driver.take(job, version)
                return
            body = _encode((job, version))
            try:
                await self._network.ask(driver, DRIVE, body, within_s=HAND_OVER_S)
                return
            except ShoalError as error:
                log.warning("job %s is not driven by %s: %s", job.id, driver, error)
            try:
                job = await self._planned(job)
                version = await self._records.swap(KIND, job.id, version, stored(job))
            except ShoalError as error:
                job = replace(job, state="failed", reason=str(error)[:1000])
                break
        if job.state == "init":
            job = replace(
                job, state="failed", reason="no peer could take it; run again"
            )
        await write_end(self._records, job, version)

    def _drive(self, _: PeerId, body: Raw) -> bytes:
        job, version = decoded(_handed, body)
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

    # Jobs whose driver has gone

    def _cares_for(self, job: JobRecord) -> bool:
        """One of us does: who was asked, or the first of those who are left."""
        present = self._network.present()
        asked = job.asked if job.asked in present else min(present)
        return asked == self._me

    async def _take_over(self, name: str, lost: PeerId) -> None:
        """Begin it again with those who are left."""
        try:
            job, version = await self._jobs.read(name)
            if job.driver != lost or job.state in ENDED:
                return
            job = await self._planned(job)
            version = await self._records.swap(KIND, name, version, stored(job))
        except ShoalError as error:
            await self._give_up(name, f"its driver, {lost}, was lost; {error}")
            return
        await self._hand_over(job, version)

    async def _give_up(self, name: str, reason: str) -> None:
        try:
            job, version = await self._jobs.read(name)
        except ShoalError as error:
            log.warning("job %s cannot be given up: %s", name, error)
            return
        if job.state not in ENDED:
            ended = replace(job, state="failed", reason=reason[:1000])
            await write_end(self._records, ended, version)

    def _told(self, record: Record) -> None:
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
