"""Steps of others' jobs, carried out here by workers: rows in, rows or a partial out.

What a step makes lies in a file of ours until its job has ended, or its driver is gone.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Container
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
from shoal.flow.datasets.results import age_s, left_over, look, result_name
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
    State,
    Task,
    Value,
    Wanted,
    row_bytes,
)
from shoal.flow.work.files import OpenFile

# The driver of a job has written down what it came to long before.
ORPHAN_S = 86_400.0

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
        streams: Streaming,
        directory: Path,
    ) -> None:
        self._me = me
        self._workers = workers
        self._shelf = shelf
        self._scratch = directory / "scratch"
        self._results = directory / "results"
        self._made: dict[_Key, _Made] = {}
        self._carrying: dict[asyncio.Task[Any], Order] = {}
        self.rows = Rows(streams, self.find)
        self.ended: Counter[State] = Counter()  # Steps, and how.
        for path in (self._scratch, self._results):
            path.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Take up what earlier lives made, and remove the rest, before anybody asks."""
        for left in self._scratch.iterdir():
            left.unlink()
        self._shelf.put(*left_over(self._results))

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
        self.ended["failed" if carried.failure else "done"] += 1
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
        path = self._target(order)
        outcome = await self._workers.run(
            Evaluate(
                *(step.expression, given, step.form, step.rows, order.operation),
                target=str(path) if path else None,
                stays=order.keep is not None,
            ),
            within_s=order.within_s,
        )
        assert isinstance(outcome, Evaluated), "the workers answer what they are asked"
        part = await self._hold(driver, order, path) if path else None
        return Carried(outcome.partial, part, warnings=outcome.warnings)

    def _target(self, order: Order) -> Path | None:
        step, fresh = order.step, secrets.token_hex(10)
        if step.reduction is not None:
            return None
        if order.keep:
            name = result_name(order.keep, order.place or 0, f"p{fresh}")
            return self._results / name
        return self._scratch / f"{order.job}-{step.number}-{fresh}"

    async def _hold(self, driver: PeerId, order: Order, path: Path) -> Part | None:
        """What was made is here from now on; it is a part of the result, if so."""
        step, key = order.step, (order.job, order.run, order.step.number)
        if not order.keep:
            source = Source(str(path), 0, step.form, 0, step.rows)
            self._made[key] = _Made(source, driver, path)
            return None
        held = await asyncio.to_thread(look, path, step.form, step.rows)
        self._shelf.put(held)
        self._made[key] = _Made(held.source(0, held.rows), driver, path, held.part)
        size = step.rows * row_bytes(step.form)
        holders = (self._me,)
        return Part(held.part, step.rows, size, held.name, holders, order.place)

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

    async def unknown(self, known: Callable[[str], bool]) -> list[Held]:
        """Results of datasets that nobody knows, though they had the time."""
        own = [each for each in self._shelf.all() if each.own]
        found = [each for each in own if not known(each.dataset)]
        ages = [await asyncio.to_thread(age_s, each) for each in found]
        return [h for h, age in zip(found, ages, strict=True) if age > ORPHAN_S]

    def remove(self, held: Held) -> None:
        """Hold a result no more."""
        self._shelf.drop(held.dataset, held.part)
        _remove(Path(held.path))

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
