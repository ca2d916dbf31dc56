"""Jobs driven from here: orders go out, what comes of them is told to the conductor.

A job's record is written when it is created, by whoever was asked, and when it ends, by
its driver; what happens in between is told to whoever asks.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Protocol

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import Conflict, Exists, ShoalError
from shoal.flow.arithmetic.finishing import combine, finished
from shoal.flow.arithmetic.kernel import remarks
from shoal.flow.carrying import FORGET, ORDER, Carrier
from shoal.flow.ending import Ends, failed, insist
from shoal.flow.language.expressions import Constant
from shoal.flow.messages import (
    Carried,
    DatasetRecord,
    JobRecord,
    Order,
    Over,
    Part,
    State,
    Step,
    Sub,
)
from shoal.flow.protocol import Carry, Conclude, Conductor, Fail, FlowEffect
from shoal.flow.records import Records

log = logging.getLogger(__name__)

# A step may take so long, unless whoever asked said less.
STEP_S = 3600.0

MAX_WARNINGS = 20

_carried = msgspec.msgpack.Decoder(Carried)


class Wires(Protocol):
    """What flow needs of the network."""

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        """Ask a peer."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send what needs no answer."""

    def present(self) -> list[PeerId]:
        """Who is here, ourselves among them."""


@dataclass(slots=True)
class _Drive:
    """A job under way."""

    job: JobRecord
    version: int
    conductor: Conductor
    began: float
    ended: asyncio.Future[Conclude | Fail]
    steps: dict[int, Step]
    places: dict[int, int]  # Of the result's pieces, by their step.
    subs: dict[int, Sub]
    parts: dict[int, Part] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    moved_bytes: int = 0
    carriers: dict[PeerId, None] = field(default_factory=dict)
    tasks: dict[asyncio.Task[None], None] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    stands: bool | None = None  # Our word on its end: none, kept, or not believed.


class Driver:
    """Drives jobs to their ends."""

    def __init__(
        self,
        me: PeerId,
        wires: Wires,
        records: Records,
        carrier: Carrier,
        ends: Ends,
        fail: Callable[[Exception], None],
    ) -> None:
        self._me = me
        self._wires = wires
        self._records = records
        self._carrier = carrier
        self._ends = ends
        self._fail = fail
        self._drives: dict[str, _Drive] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}

    def live(self, job: str) -> JobRecord | None:
        """How a job is that is driven from here."""
        drive = self._drives.get(job)
        return self._shown(drive, "active") if drive else None

    def drives(self, job: str) -> bool:
        """Is it driven from here?"""
        return job in self._drives

    def take(self, job: JobRecord, version: int, moved_bytes: int = 0) -> None:
        """Drive it from now on; so much has moved to tell us."""
        known = self._drives.get(job.id)
        if known and known.version >= version:
            return
        if known and known.task:
            known.task.cancel()  # Its end would not be believed.
        assert job.plan, "it was planned before it was handed over"
        told: dict[str, int] = {}
        drive = _Drive(
            job,
            version,
            Conductor(
                job.plan,
                partial(combine, told),
                lambda peer: peer in self._wires.present(),
            ),
            monotonic(),
            asyncio.get_running_loop().create_future(),
            {step.number: step for step in job.plan.steps},
            {number: place for place, number in enumerate(job.plan.pieces)},
            {
                step.number: _waiting(job.id, step)
                for step in job.plan.steps
                if step.sub
            },
            warnings=told,
        )
        drive.moved_bytes = moved_bytes
        self._drives[job.id] = drive
        drive.task = self._spawn(self._tasks, self._drive(drive))

    def lost(self, peer: PeerId) -> None:
        """A peer has gone."""
        for drive in list(self._drives.values()):
            self._act(drive, drive.conductor.lost(peer))

    async def stop(self) -> None:
        """Drive no more."""
        tasks = [*self._tasks, *(t for d in self._drives.values() for t in d.tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # One job

    async def _drive(self, drive: _Drive) -> None:
        job = drive.job
        try:
            self._act(drive, drive.conductor.begin())
            within_s = job.within_s or None
            try:
                async with asyncio.timeout(within_s):
                    outcome: Conclude | Fail = await drive.ended
            except TimeoutError:
                outcome = Fail(
                    f"it took more than {within_s:g} s; give it more --within"
                )
            await self._end(drive, outcome)
        finally:
            for task in drive.tasks:
                task.cancel()
            self._forget(drive)
            if self._drives.get(job.id) is drive:
                del self._drives[job.id]

    async def _end(self, drive: _Drive, outcome: Conclude | Fail) -> None:
        try:
            if isinstance(outcome, Fail):
                ended = failed(self._shown(drive, "failed"), outcome.reason)
            else:
                ended = await self._concluded(drive, outcome)
        except ShoalError as error:
            ended = failed(self._shown(drive, "failed"), str(error))
        ended = replace(ended, duration_s=monotonic() - drive.began)
        if ended.state == "failed":
            drive.stands = False
        stands = await self._ends.write(ended, drive.version)
        drive.stands = stands and ended.state == "done"

    async def _concluded(self, drive: _Drive, outcome: Conclude) -> JobRecord:
        job = self._shown(drive, "done")
        plan = drive.conductor.plan
        if plan.result is not None:
            value = finished(drive.warnings, plan.result, outcome.values)
            return replace(job, value=Constant(value), warnings=remarks(drive.warnings))
        record = DatasetRecord(
            *("d" + job.id[1:], "d" + job.id[1:], 1, plan.form),
            tuple(drive.parts[number] for number in plan.pieces),
            *(job.tags, job.user, job.id, job.submitted),
        )
        body = msgspec.msgpack.encode(record)
        await insist(lambda: self._publish(drive, record.id, body))
        return replace(job, dataset=record.id)

    async def _publish(self, drive: _Drive, name: str, body: bytes) -> None:
        """Let there be that dataset, in the place of one that another run has left."""
        try:
            await self._records.create("dataset", name, body)
        except Exists:
            job = await self._records.read("job", drive.job.id)
            before = await self._records.read("dataset", name)
            if job is None or job.version != drive.version or before is None:
                raise Conflict(f"job {drive.job.id}: another peer drives it") from None
            if before.body != body:
                await self._records.swap("dataset", name, before.version, body)

    def _act(self, drive: _Drive, effects: list[FlowEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Carry):
                self._spawn(drive.tasks, self._carry(drive, effect))
            elif not drive.ended.done():
                drive.ended.set_result(effect)

    async def _carry(self, drive: _Drive, carry: Carry) -> None:
        order = _order(drive, carry)
        drive.carriers[carry.executor] = None
        if sub := drive.subs.get(carry.step):
            tries = sub.tries + (sub.state != "init")
            drive.subs[carry.step] = replace(
                sub, executor=carry.executor, state="active", tries=tries
            )
        try:
            carried = await self._ordered(carry.executor, order)
        except ShoalError as error:
            carried = Carried(failure=f"{carry.executor}: {error}"[:1000])
        if carry.step in drive.places and not (carried.part or carried.failure):
            carried = Carried(failure=f"{carry.executor}: it kept no part of the rows")
        self._note(drive, carry, carried)
        if carried.failure:
            effects = drive.conductor.failed(
                carry.step, carry.attempt, carried.failure, blame=carried.blame
            )
        else:
            effects = drive.conductor.done(carry.step, carry.attempt, carried.partial)
        self._act(drive, effects)

    async def _ordered(self, executor: PeerId, order: Order) -> Carried:
        if executor == self._me:
            return await self._carrier.carry(self._me, order)
        body = msgspec.msgpack.encode(order)
        within_s = order.within_s + 5
        answer = await self._wires.ask(executor, ORDER, body, within_s=within_s)
        carried = decoded(_carried, answer)
        moved = carried.moved_bytes + len(body) + len(answer)
        return replace(carried, moved_bytes=moved)

    def _note(self, drive: _Drive, carry: Carry, carried: Carried) -> None:
        drive.moved_bytes += carried.moved_bytes
        for warning in carried.warnings:
            if len(drive.warnings) < MAX_WARNINGS:
                drive.warnings[warning] = 1
        if carried.part:
            drive.parts[carry.step] = carried.part
        if sub := drive.subs.get(carry.step):
            drive.subs[carry.step] = replace(
                sub,
                state="failed" if carried.failure else "done",
                duration_s=carried.duration_s,
                moved_bytes=sub.moved_bytes + carried.moved_bytes,
            )

    def _forget(self, drive: _Drive) -> None:
        concluded = drive.conductor.ended and not drive.ended.cancelled()
        if concluded and drive.stands is None:
            return  # We stop in mid-sentence: they will hear how it ended.
        parts = drive.parts.values() if drive.stands else ()
        for peer in drive.carriers:
            kept = tuple(part.id for part in parts if peer in part.holders)
            over = Over(drive.job.id, drive.version, kept)
            if peer == self._me:
                self._carrier.forget(over)
            else:
                self._wires.post(peer, FORGET, msgspec.msgpack.encode(over))

    def _shown(self, drive: _Drive, state: State) -> JobRecord:
        return replace(
            drive.job,
            state=state,
            driver=self._me,
            subs=tuple(drive.subs.values()),
            moved_bytes=drive.moved_bytes,
            warnings=remarks(drive.warnings),
            duration_s=monotonic() - drive.began,
        )

    def _spawn(
        self, tasks: dict[asyncio.Task[None], None], work: Coroutine[None, None, None]
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks[task] = None
        task.add_done_callback(lambda done: self._over(tasks, done))
        return task

    def _over(
        self, tasks: dict[asyncio.Task[None], None], task: asyncio.Task[None]
    ) -> None:
        tasks.pop(task, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)


def _waiting(job: str, step: Step) -> Sub:
    name = f"s{job[1:]}{step.number}"
    return Sub(name, step.number, step.sub, step.executors[0], "init")


def _order(drive: _Drive, carry: Carry) -> Order:
    job, steps, plan = drive.job, drive.steps, drive.conductor.plan
    step = steps[carry.step]
    operation = None
    if step.reduction is not None:
        operation = plan.reductions[step.reduction].operation
    kept = carry.step in drive.places
    return Order(
        job.id,
        drive.version,
        step,
        carry.attempt,
        carry.sources,
        carry.values,
        {n: steps[n].form for n in carry.sources},
        operation=operation,
        keep="d" + job.id[1:] if kept else None,
        place=drive.places.get(carry.step),
        within_s=job.within_s or STEP_S,
    )
