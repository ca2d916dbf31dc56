"""Real workers, hurt in every way a task can hurt them."""

import asyncio
import os
import signal
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.errors import (
    Misuse,
    NotFound,
    OutOfMemory,
    OutOfTime,
    Overloaded,
    Refused,
    WorkerLost,
)
from shoal.flow.language.expressions import Constant, Input
from shoal.flow.messages import (
    Evaluated,
    Form,
    Hash,
    Hashed,
    Inspect,
    Inspected,
    Source,
)
from shoal.flow.work.workers import Workers
from tests.end_to_end.working import (
    FLOAT,
    PATIENCE_S,
    Loop,
    computing,
    hash_of,
    outcome,
    parent,
    play,
    reads,
    replaced,
    runs,
    saved,
    until,
)

# What is right


def test_a_file_is_inspected_hashed_and_computed_with(
    tmp_path: Path, loop: Loop
) -> None:
    rows = np.arange(2500.0)
    source, target = saved(tmp_path / "a.npy", rows), tmp_path / "b"

    async def story(workers: Workers) -> None:
        seen = await workers.run(Inspect(source.path), within_s=PATIENCE_S)
        assert seen == Inspected(FLOAT, 2500, source.offset, source.stamp or (0, 0, 0))
        hashed = await workers.run(
            Hash(source.path, source.offset, rows.nbytes, "<f8", source.stamp),
            within_s=PATIENCE_S,
        )
        assert isinstance(hashed, Hashed)
        assert hashed.chunks == (blake2b(rows.tobytes(), digest_size=20).digest(),)
        task = computing("multiply", source, Input(1), target=target)
        assert await workers.run(task, within_s=PATIENCE_S) == Evaluated()
        found = await workers.run(computing("positive", source), within_s=PATIENCE_S)
        assert found == Evaluated(np.float64(rows.sum()).tobytes())

    play(story, loop)
    assert (np.fromfile(target) == rows * 2).all()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.npy", "b"]


def test_numpys_warnings_arrive(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npy", np.zeros(5000))
    task = computing("divide", source, Constant(0.0))
    found = play(lambda workers: workers.run(task, within_s=PATIENCE_S))
    assert isinstance(found, Evaluated)
    assert found.warnings == ("invalid value encountered in divide (5 times)",)


def test_many_tasks_at_once_are_begun_in_order_and_none_is_lost(
    tmp_path: Path, loop: Loop
) -> None:
    done: list[int] = []

    async def ask(workers: Workers, number: int) -> None:
        rows = np.zeros(number + 1)
        path = tmp_path / f"{number}.npy"
        np.save(path, rows)
        found = await workers.run(Inspect(str(path)), within_s=PATIENCE_S)
        assert isinstance(found, Inspected)
        assert found.rows == number + 1
        done.append(number)

    async def story(workers: Workers) -> None:
        asked = [asyncio.create_task(ask(workers, number)) for number in range(200)]
        await asyncio.sleep(0)  # All are asked.
        assert workers.queued == 200
        await asyncio.gather(*asked)
        assert workers.queued == 0

    play(story, loop)
    assert done == list(range(200))  # One worker: as they were asked.


def test_more_tasks_than_may_wait_are_refused(endless: Path) -> None:
    async def story(workers: Workers) -> None:
        task = hash_of(endless)
        asked = [
            asyncio.create_task(workers.run(task, within_s=PATIENCE_S))
            for _ in range(2)
        ]
        await until(lambda: workers.queued == 2)
        with pytest.raises(Overloaded, match="2 tasks wait already; try later"):
            await workers.run(task, within_s=PATIENCE_S)
        for each in asked:
            each.cancel()
        await until(lambda: workers.queued == 0)

    play(story, max_queued=2)


# What ends a worker


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
def test_a_worker_that_is_killed_fails_its_task_alone(
    endless: Path, tmp_path: Path, loop: Loop, number: signal.Signals
) -> None:
    other = saved(tmp_path / "a.npy", np.zeros(3))

    async def story(workers: Workers) -> None:
        (before,) = workers.pids
        asked = asyncio.create_task(workers.run(hash_of(endless), within_s=PATIENCE_S))
        await until(lambda: reads(before, endless))
        after = asyncio.create_task(
            workers.run(Inspect(other.path), within_s=PATIENCE_S)
        )
        os.kill(before, number)
        assert await outcome(asked) == (
            f"WorkerLost: file endless.npy: the worker was killed by {number.name}; "
            "run it again"
        )
        assert isinstance(await after, Inspected)
        assert before not in workers.pids

    play(story, loop)


def test_a_worker_that_dies_idle_fails_nobody(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npy", np.zeros(3))

    async def story(workers: Workers) -> None:
        for _ in range(5):
            (pid,) = workers.pids
            os.kill(pid, signal.SIGKILL)
            await until(partial(replaced, workers, pid))
            found = await workers.run(Inspect(source.path), within_s=PATIENCE_S)
            assert isinstance(found, Inspected)

    play(story)


def test_an_exit_within_a_task_is_told(tmp_path: Path, loop: Loop) -> None:
    source = saved(tmp_path / "a.npy", np.zeros(3))

    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        leaving = workers.run(computing("leave", source), within_s=PATIENCE_S)
        assert "the worker ended with code 3" in await outcome(leaving)
        departing = workers.run(computing("depart", source), within_s=PATIENCE_S)
        assert await outcome(departing) == "Refused: task: SystemExit: so long"
        assert pid not in workers.pids

    play(story, loop)


def test_what_takes_too_long_is_given_up(
    endless: Path, tmp_path: Path, loop: Loop
) -> None:
    source, target = saved(tmp_path / "a.npy", np.zeros(3000)), tmp_path / "b"

    async def story(workers: Workers) -> None:
        told = await outcome(workers.run(hash_of(endless), within_s=0.1))
        assert told.startswith("OutOfTime: file endless.npy: it took more than 0.1 s")
        spinning = computing("spin", source, target=target)
        assert "OutOfTime" in await outcome(workers.run(spinning, within_s=0.5))
        await until(lambda: workers.queued == 0)

    play(story, loop)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.npy", "endless.npy"]


def test_a_stopped_process_is_given_up_too(endless: Path) -> None:
    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(OutOfTime):
            await workers.run(hash_of(endless), within_s=0.1)
        await until(lambda: workers.queued == 0 and not runs(pid))

    play(story)


def test_what_nobody_waits_for_is_given_up(endless: Path, loop: Loop) -> None:
    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        running, waiting = (
            asyncio.create_task(workers.run(hash_of(endless), within_s=PATIENCE_S))
            for _ in range(2)
        )
        await until(lambda: reads(pid, endless))
        waiting.cancel()
        await until(lambda: workers.queued == 1)
        running.cancel()
        await until(lambda: workers.queued == 0 and not runs(pid))
        await until(lambda: workers.pids)

    play(story, loop)


def test_what_needs_too_much_memory_fails_by_name(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    wide = Source(str(path), 0, Form("<f8", (1 << 30,)), 0, 1)

    async def story(workers: Workers) -> None:
        before = workers.pids
        told = await outcome(
            workers.run(computing("positive", wide), within_s=PATIENCE_S)
        )
        assert told == (
            "OutOfMemory: task: it needs more memory than the 512 MiB a worker may "
            "have; give it smaller rows"
        )
        assert workers.pids == before

    play(story, memory_bytes=512 << 20)
    assert issubclass(OutOfMemory, Refused)


def test_a_lost_forkserver_is_replaced(endless: Path, loop: Loop) -> None:
    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        asked = asyncio.create_task(workers.run(hash_of(endless), within_s=PATIENCE_S))
        await until(lambda: reads(pid, endless))
        os.kill(parent(pid), signal.SIGKILL)
        with pytest.raises(WorkerLost, match="lost with its forkserver"):
            await asked
        await until(lambda: workers.pids and not runs(pid))
        found = await outcome(workers.run(Inspect("/nowhere"), within_s=PATIENCE_S))
        assert "it has gone" in found

    play(story, loop)


def test_workers_that_cannot_begin_are_told_with_the_cause() -> None:
    async def main() -> None:
        workers = Workers(1, lambda error: None, preload=["no_such_module"])
        with pytest.raises(WorkerLost, match="No module named 'no_such_module'"):
            await workers.start()
        await workers.stop()
        with pytest.raises(Misuse, match="workers 0: at least one"):
            Workers(0, lambda error: None)

    asyncio.run(main())


def test_who_waits_is_told_when_no_worker_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when one can be had again, all goes on."""
    monkeypatch.syspath_prepend(str(tmp_path))
    needed = tmp_path / "needed.py"
    needed.touch()

    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        needed.unlink()
        os.kill(parent(pid), signal.SIGKILL)
        await until(lambda: not workers.pids)
        asked = [workers.run(Inspect("/nowhere"), within_s=1.0) for _ in range(3)]
        for told in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(told, WorkerLost)
            assert "No module named 'needed'" in str(told)
        needed.touch()
        await until(lambda: workers.pids)
        with pytest.raises(NotFound):
            await workers.run(Inspect("/nowhere"), within_s=PATIENCE_S)

    play(story, preload=["needed"])


def test_stopping_tells_who_waits_and_leaves_nobody(endless: Path, loop: Loop) -> None:
    pids: list[int] = []

    async def story(workers: Workers) -> asyncio.Task[Any]:
        await until(lambda: len(workers.pids) == 2)
        pids.extend([*workers.pids, parent(workers.pids[0])])
        asked = asyncio.create_task(workers.run(hash_of(endless), within_s=PATIENCE_S))
        await until(lambda: any(reads(pid, endless) for pid in workers.pids))
        await workers.stop()
        assert "the peer stops" in await outcome(asked)
        assert "the peer stops" in await outcome(
            workers.run(Inspect(str(endless)), within_s=PATIENCE_S)
        )
        await until(lambda: not any(runs(pid) for pid in pids))
        return asked

    play(story, loop, count=2)
