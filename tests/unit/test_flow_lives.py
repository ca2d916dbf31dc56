"""Whoever dies, and whatever is lost on the way: a job ends, and leaves nothing."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Raw
from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.errors import MalformedMessage, NoSpace, Unanswered
from shoal.flow.caring import DRIVE
from shoal.flow.carrying import ORDER
from shoal.flow.datasets.library import Wish
from shoal.flow.ending import stored
from shoal.flow.language.expressions import Input
from shoal.flow.messages import (
    Carried,
    Form,
    JobRecord,
    Order,
    Plan,
    Product,
    Step,
    Sub,
)
from shoal.flow.plans.asking import Question
from shoal.flow.records import MAX_BODY_BYTES
from shoal.flow.service import FlowService
from tests.unit.flows import House, house

PATIENCE_S = 30.0
ROWS = np.arange(1000)


async def add(flow: FlowService, root: Path, name: str, rows: Any = ROWS) -> Path:
    path = root / f"{flow_name(flow)}-{name}.npy"
    np.save(path, rows)
    await flow.library.add(Wish(str(path), name=name))
    return path


def flow_name(flow: FlowService) -> str:
    return str(id(flow))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - of files, too.
            await asyncio.sleep(0.01)


async def unhanded(made: House, text: str, asked: str, driver: str) -> JobRecord:
    """A job whose asker has died between its record and its driver."""
    plan = await made.peers[PeerId(driver)].explain(Question(text))
    assert plan.collector == driver
    job = JobRecord(
        *("jabc", text, "init", 1.0, PeerId(asked)), plan=plan, driver=plan.collector
    )
    await made.records.create("job", job.id, stored(job))
    return job


async def ended(flow: FlowService, job: JobRecord) -> JobRecord:
    found = await flow.wait(job.id, PATIENCE_S)
    assert found.state in ("done", "failed"), "it never ends"
    return found


def test_an_asker_dies_before_it_hands_a_job_over(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            _, driver = await made.enter("asker", "driver")
            await add(driver, tmp_path, "x")
            made.cut("asker")
            job = await unhanded(made, "sum(x)", "asker", "driver")
            made.mourn("asker")
            found = await ended(driver, job)
            assert found.value
            assert found.value.value == ROWS.sum()

    asyncio.run(play())


def test_a_driver_is_dead_and_nobody_has_noticed(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            asker, driver, other = await made.enter("asker", "driver", "other")
            await add(driver, tmp_path, "x")
            await add(other, tmp_path, "x")
            made.wires[PeerId("driver")].deaf = True
            job = await asker.submit(Question("sum(x)"))
            assert job.driver == "driver"
            await made.stop("driver")
            await until(lambda: made.wires[PeerId("driver")].missed > 0)
            await asker.wait(job.id, 0.3)  # It would have been given up by then.
            made.cut("driver")
            made.mourn("driver")
            assert (await ended(asker, job)).state == "done"

    asyncio.run(play())


@pytest.mark.parametrize("first", ["asker", "driver"])
def test_an_asker_and_a_driver_die_together(tmp_path: Path, first: str) -> None:
    second = {"asker": "driver", "driver": "asker"}[first]

    async def play() -> None:
        async with house(tmp_path) as made:
            _, driver, other = await made.enter("asker", "driver", "other")
            await add(driver, tmp_path, "x")
            await add(other, tmp_path, "x")
            job = await unhanded(made, "sum(x)", "asker", "driver")
            await made.stop(first)
            await made.stop(second)
            for name in (first, second):
                made.cut(name)
                made.mourn(name)
            found = await ended(other, job)
            assert (found.state, found.driver) == ("done", "other")

    asyncio.run(play())


def test_a_file_under_two_names_is_replaced_in_each(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            [flow] = await made.enter("one")
            path = await add(flow, tmp_path, "x")
            await flow.library.add(Wish(str(path), name="y"))
            np.save(path, ROWS + 7)
            wish = Wish(str(path), name="x", replace=True)
            assert (await flow.library.add(wish)).rows == ROWS.size
            job = await flow.submit(Question("sum(x)"))
            found = await ended(flow, job)
            assert found.value
            assert found.value.value == (ROWS + 7).sum()

    asyncio.run(play())


def test_a_job_that_is_handed_over_anew_ends(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            asker, driver = await made.enter("asker", "driver")
            await add(driver, tmp_path, "x", np.arange(3_000_000))
            job = await unhanded(made, "sin(cos(sin(x)))", "asker", "driver")
            wires = made.wires[PeerId("asker")]
            record = await made.records.read("job", job.id)
            assert record
            version = record.version
            for _ in range(3):  # Each answer was lost on the way.
                body = msgspec.msgpack.encode((job, version))
                await wires.ask(PeerId("driver"), DRIVE, body, within_s=1)
                version = await made.records.swap("job", job.id, version, stored(job))
            body = msgspec.msgpack.encode((job, version))
            await wires.ask(PeerId("driver"), DRIVE, body, within_s=1)
            found = await ended(asker, job)
            assert found.state == "done", found.reason
            assert found.dataset
            rows = (await driver.library.find(found.dataset)).rows
            assert rows == 3_000_000
            await until(lambda: len(made.files("driver")) == 1)

    asyncio.run(play())


def test_a_driver_dies_between_the_dataset_and_the_end(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            _, driver = await made.enter("asker", "driver")
            await add(driver, tmp_path, "x")
            before = await driver.library.find("x")
            left = replace(before, id="dabc", name="dabc", job="jabc")
            await made.records.create("dataset", "dabc", msgspec.msgpack.encode(left))
            made.cut("asker")
            job = await unhanded(made, "x + 1", "asker", "driver")
            found = await ended(driver, job)
            assert (found.state, found.dataset) == ("done", "dabc"), found.reason
            [part] = (await driver.library.find("dabc")).parts
            assert part != before.parts[0]

    asyncio.run(play())


class Troubled:
    """Records whose keeper is away at first: some are done, and nobody hears it."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.swaps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def swap(
        self,
        kind: str,
        id: str,  # noqa: A002 - as it is called there.
        version: int,
        body: bytes | None,
    ) -> int:
        self.swaps += 1
        if self.swaps == 1:
            raise NoSpace("the disk is full")
        if self.swaps == 2:
            await self._records.swap(kind, id, version, body)
            raise Unanswered("nobody knows")
        found: int = await self._records.swap(kind, id, version, body)
        return found


def test_an_end_is_told_until_it_is_heard(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path, lambda records: Troubled(records)) as made:
            [flow] = await made.enter("one")
            await add(flow, tmp_path, "x")
            job = await flow.submit(Question("x + 1"))
            assert (await ended(flow, job)).state == "done"
            await until(lambda: not flow.driving(job.id))
            assert len(made.files("one")) == 1

    asyncio.run(play())


def test_a_job_of_thousands_of_steps_can_be_kept() -> None:
    subs = tuple(
        Sub(f"sabc{n}", n, "mean(" + "x" * 190 + ")", PeerId("lab-one-abcdef"), "done")
        for n in range(8000)
    )
    job = JobRecord("jabc", "mean(x)", "done", 1.0, PeerId("one"), subs=subs)
    assert len(stored(job)) <= MAX_BODY_BYTES
    found = msgspec.msgpack.decode(stored(job), type=JobRecord)
    assert found.state == "done"
    assert found.subs == subs[: len(found.subs)] != ()


def test_what_is_under_way_when_a_job_fails_leaves_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            [flow] = await made.enter("one", workers=2)
            path = await add(flow, tmp_path, "x", np.arange(5_000_000))
            again = tmp_path / "again.npy"
            np.save(again, np.arange(10))
            await flow.library.add(Wish(str(again), name="x"))
            again.unlink()
            assert path.exists()
            text = "sin(cos(sin(cos(sin(cos(sin(x)))))))"
            job = await flow.submit(Question(text))
            assert (await ended(flow, job)).state == "failed"
            await until(lambda: not flow.carrying)
            await until(lambda: made.files("one") == [])

    asyncio.run(play())


def test_what_another_run_has_left_goes_when_the_job_has_ended(tmp_path: Path) -> None:
    """Its driver died, and told nobody: another ends the job."""

    async def play() -> None:
        async with house(tmp_path) as made:
            _, driver = await made.enter("asker", "driver")
            await add(driver, tmp_path, "x")
            made.cut("asker")
            job = await unhanded(made, "x + 1", "asker", "driver")
            assert job.plan
            [step] = job.plan.steps
            order = Order("jabc", 1, step, 1, {}, {}, {}, keep="dabc", place=0)
            handler = made.wires[PeerId("driver")].handler(ORDER)
            body = Raw(msgspec.msgpack.encode(order))
            answer = handler(PeerId("asker"), body)
            assert not isinstance(answer, bytes)
            carried = msgspec.msgpack.decode(await answer, type=Carried)
            assert carried.part
            found = await ended(driver, job)
            assert found.state == "done", found.reason
            await until(lambda: len(made.files("driver")) == 1)

    asyncio.run(play())


def test_orders_that_lack_something_end_nobody(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            [flow] = await made.enter("one")
            job = await flow.submit(Question("1 + 1"))
            handler = made.wires[PeerId("one")].handler(ORDER)
            given = (Product(7, 0, 5),)
            step = Step(0, Input(0), given, Form("<f8"), 5, (PeerId("one"),))
            order = Order(job.id, 1, step, 1, {}, {}, {})
            answer = handler(PeerId("two"), Raw(msgspec.msgpack.encode(order)))
            assert not isinstance(answer, bytes)
            assert msgspec.msgpack.decode(await answer, type=Carried).failure
            drive = made.wires[PeerId("one")].handler(DRIVE)
            assert job.plan
            plans: list[Plan | None] = [None, replace(job.plan, pieces=(3,))]
            for broken in plans:
                told = msgspec.msgpack.encode((replace(job, plan=broken), 1))
                with pytest.raises(MalformedMessage):
                    drive(PeerId("two"), Raw(told))

    asyncio.run(play())
