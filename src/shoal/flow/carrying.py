"""Steps of others' jobs, carried out here by workers: rows in, rows or a partial out.

What a step makes lies in a file of ours until its job has ended, or its driver is gone.
"""

import asyncio
import os
import secrets
from collections.abc import Container
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import Misuse, NotFound, ShoalError
from shoal.flow.datasets.keeping import Keeping
from shoal.flow.datasets.rows import Rows, Streaming
from shoal.flow.datasets.shelf import Held, Shelf
from shoal.flow.language.expressions import Input
from shoal.flow.messages import (
    Carried,
    Evaluate,
    Evaluated,
    Known,
    Order,
    Outcome,
    Over,
    Part,
    Product,
    Source,
    Task,
    Value,
    Wanted,
    row_bytes,
)
from shoal.flow.work.files import OpenFile

ORDER = "flow-carry"
FORGET = "flow-forget"

_order = msgspec.msgpack.Decoder(Order)
_over = msgspec.msgpack.Decoder(Over)


class Working(Protocol):
    """What carrying needs of the workers."""

    async def run(self, task: Task, *, within_s: float) -> Outcome:
        """Have a task done."""


@dataclass(slots=True)
class _Made:
    """What a step has made here."""

    source: Source  # All its rows.
    driver: PeerId
    path: Path | None = None  # Ours, if it is not a file of the user's.
    part: str | None = None  # It stays, as a part of the result.


# A job, which run of it, and a step.
_Key = tuple[str, int, int]


class NotGivenError(Exception):
    """The product of another step did not come."""

    def __init__(self, step: int, why: str) -> None:
        super().__init__(why)
        self.step = step


class Carrier:
    """Carries steps out."""

    def __init__(
        self,
        me: PeerId,
        workers: Working,
        shelf: Shelf,
        keeping: Keeping,
        streams: Streaming,
        directory: Path,
    ) -> None:
        self._me = me
        self._workers = workers
        self._shelf = shelf
        self._keeping = keeping
        self._scratch = directory / "scratch"
        self._results = directory / "results"
        self._made: dict[_Key, _Made] = {}
        self._carrying: dict[asyncio.Task[Any], Order] = {}
        self.rows = Rows(streams, self.find)
        shelf.settle(self._results)
        for path in (self._scratch, self._results):
            path.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what the last life left: to be called off the loop."""
        held = {each.path for each in self._shelf.all()}
        for directory in (self._scratch, self._results):
            for left in directory.iterdir():
                if str(left) not in held:
                    left.unlink()

    @property
    def carrying(self) -> int:
        """How many steps are under way."""
        return len(self._carrying)

    # Orders

    async def ordered(self, peer: PeerId, body: Raw) -> bytes:
        """A peer that drives a job wants a step carried out."""
        return msgspec.msgpack.encode(await self.carry(peer, decoded(_order, body)))

    async def carry(self, driver: PeerId, order: Order) -> Carried:
        """Carry a step out; it never raises what its driver should know."""
        began = monotonic()
        moved = [0]
        task = asyncio.current_task()
        assert task, "a coroutine is run by one"
        self._carrying[task] = order
        try:
            _refuse_incomplete(order)
            async with AsyncExitStack() as borrowed:
                given = [
                    await self._given(order, place, borrowed, moved)
                    for place in range(len(order.step.given))
                ]
                carried = await self._evaluate(driver, order, tuple(given))
        except NotGivenError as error:
            carried = Carried(failure=str(error)[:1000], blame=error.step)
        except (ShoalError, OSError) as error:
            carried = Carried(failure=str(error)[:1000])
        finally:
            del self._carrying[task]
        return msgspec.structs.replace(
            carried, moved_bytes=moved[0], duration_s=monotonic() - began
        )

    async def _given(
        self, order: Order, place: int, borrowed: AsyncExitStack, moved: list[int]
    ) -> Source | Known:
        match order.step.given[place]:
            case Value(reduction):
                return Known(order.values[reduction])
            case Product() as product:
                return await self._product(order, product, borrowed, moved)
            case rows:
                return self._shelf.get(rows.part).source(rows.start, rows.stop)

    async def _product(
        self, order: Order, product: Product, borrowed: AsyncExitStack, moved: list[int]
    ) -> Source:
        """What another step made: it is here, or fetched for as long as we need it."""
        holder = order.sources[product.step]
        wanted = Wanted(
            *(product.start, product.stop),
            job=order.job,
            run=order.run,
            step=product.step,
        )
        try:
            if holder == self._me:
                return self.find(wanted)
            form = order.forms[product.step]
            size = (product.stop - product.start) * row_bytes(form)
            path = self._scratch / secrets.token_hex(8)
            await self.rows.fetch(holder, wanted, size, path)
        except (ShoalError, OSError) as error:
            raise NotGivenError(product.step, str(error)) from error
        borrowed.callback(path.unlink, missing_ok=True)
        moved[0] += size
        return Source(str(path), 0, form, 0, product.stop - product.start)

    async def _evaluate(
        self, driver: PeerId, order: Order, given: tuple[Source | Known, ...]
    ) -> Carried:
        step = order.step
        if source := _as_it_lies(order, given):
            await asyncio.to_thread(_refuse_changed, source)
            self._made[order.job, order.run, step.number] = _Made(source, driver)
            return Carried()
        path = None
        if step.reduction is None:
            directory = self._results if order.keep else self._scratch
            path = directory / f"{order.job}-{step.number}-{secrets.token_hex(4)}"
        outcome = await self._workers.run(
            Evaluate(
                *(step.expression, given, step.form, step.rows, order.operation),
                target=str(path) if path else None,
            ),
            within_s=order.within_s,
        )
        assert isinstance(outcome, Evaluated), "the workers answer what they are asked"
        part = None
        if path:
            source = Source(str(path), 0, step.form, 0, step.rows)
            made = _Made(source, driver, path)
            self._made[order.job, order.run, step.number] = made
            part = await self._keep(order, made) if order.keep else None
        return Carried(outcome.partial, part, warnings=outcome.warnings)

    async def _keep(self, order: Order, made: _Made) -> Part:
        """What was made is a part of the result from now on."""
        assert order.keep, "asked for"
        assert made.path, "it was written"
        stat = await asyncio.to_thread(os.stat, made.path)
        made.part = part = "p" + secrets.token_hex(10)
        name = f"{order.keep}-{order.step.number}"
        rows, form = order.step.rows, order.step.form
        self._shelf.put(
            Held(
                *(part, order.keep, name, str(made.path), 0, form, rows),
                stamp=(stat.st_size, stat.st_mtime_ns, stat.st_ino),
                own=True,
            )
        )
        await self._keeping.keep()
        size = rows * row_bytes(form)
        return Part(part, rows, size, name, (self._me,), place=order.place)

    # What lies here

    def find(self, wanted: Wanted) -> Source:
        """Where wanted rows lie, or `NotFound`."""
        if wanted.part:
            held = self._shelf.get(wanted.part)
            return _within(held.source(wanted.start, wanted.stop), held.rows)
        made = self._made.get((wanted.job or "", wanted.run, wanted.step))
        if made is None:
            raise NotFound(
                f"step {wanted.step} of {wanted.job}: its rows are here no more"
            )
        whole = made.source
        first, last = whole.start + wanted.start, whole.start + wanted.stop
        part = msgspec.structs.replace(whole, start=first, stop=last)
        return _within(part, whole.stop)

    def forgotten(self, _: PeerId, body: Raw) -> None:
        """A job has ended that a peer drove."""
        with suppress(ShoalError):
            self.forget(decoded(_over, body))

    def forget(self, over: Over) -> None:
        """A run has ended: what is still carried out for it is wanted no more."""
        run = over.job, over.run
        for task, order in self._carrying.items():
            if (order.job, order.run) == run:
                task.cancel()
        for key in [key for key in self._made if key[:2] == run]:
            self._drop(key, kept=over.kept)

    def settle(self, job: str, kept: Container[str]) -> None:
        """A job has ended, whoever drove it."""
        for name, run in dict.fromkeys(key[:2] for key in self._made if key[0] == job):
            ids = [m.part for m in self._made.values() if m.part and m.part in kept]
            self.forget(Over(name, run, tuple(ids)))

    def has_made(self, job: str) -> bool:
        """Is there anything left of that job?"""
        return any(key[0] == job for key in self._made)

    def lost(self, driver: PeerId) -> None:
        """Nobody will ask any more for what was made for its jobs."""
        for key, made in list(self._made.items()):
            if made.driver == driver and not made.part:
                self._drop(key)  # What may be of a result waits for the job's end.

    def _drop(self, key: _Key, kept: Container[str] = ()) -> None:
        made = self._made.pop(key)
        if made.part and made.part in kept:
            return
        if made.part:
            self._shelf.drop(f"d{key[0][1:]}", made.part)
        if made.path:  # A large file takes its time to go.
            asyncio.get_running_loop().run_in_executor(None, _remove, made.path)


def _as_it_lies(order: Order, given: tuple[Source | Known, ...]) -> Source | None:
    """Rows that are wanted as they are need no copy."""
    step = order.step
    if len(given) != 1 or step.expression != Input(0) or order.keep:
        return None
    [source] = given
    if isinstance(source, Source) and source.form == step.form:
        return source if step.reduction is None else None
    return None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _refuse_incomplete(order: Order) -> None:
    """What another sent may lack what its step is about."""
    for each in order.step.given:
        match each:
            case Value(reduction) if reduction not in order.values:
                raise Misuse(f"step {order.step.number}: no value {reduction} came")
            case Product(step) if not (step in order.sources and step in order.forms):
                raise Misuse(f"step {order.step.number}: nobody is named for {step}")
            case Product(_, start, stop) if start > stop:
                raise Misuse(f"step {order.step.number}: rows {start} to {stop}")


def _refuse_changed(source: Source) -> None:
    """Say so now, by the file's name: who is sent its rows would only miss them."""
    OpenFile(source.path, source.stamp).close()


def _within(source: Source, rows: int) -> Source:
    if not source.start <= source.stop <= rows:
        raise NotFound(f"rows {source.start} to {source.stop}: there are {rows} only")
    return source
