"""What workers have of their peer, and what they do to its files."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import (
    ChangedFile,
    InvalidName,
    NoSpace,
    NotFound,
    OutOfTime,
    UnreadableFile,
)
from shoal.flow.language.expressions import Constant, Input
from shoal.flow.messages import (
    Evaluate,
    Hash,
)
from shoal.flow.work.workers import Workers
from tests.end_to_end.working import (
    FLOAT,
    PATIENCE_S,
    computing,
    hash_of,
    held,
    outcome,
    parent,
    play,
    reads,
    runs,
    saved,
    until,
)

# What a worker has of the peer


def has_one_socket_alone(pid: int) -> bool:
    """Once it has let go of what is the forkserver's."""
    others = [each for each in held(pid) if each != "/dev/null"]
    return len(others) == 1 and others[0].startswith("socket:")


def test_workers_inherit_nothing_of_the_peer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        log = (tmp_path / "log").open("w")
        os.set_inheritable(listening.fileno(), True)
        os.set_inheritable(log.fileno(), True)

        async def story(workers: Workers) -> None:
            await until(lambda: len(workers.pids) == 3)
            for pid in workers.pids:
                await until(partial(has_one_socket_alone, pid))
                assert len(os.listdir(f"/proc/{pid}/task")) == 1
                assert os.getpriority(os.PRIO_PROCESS, pid) == 5
            served = held(parent(workers.pids[0]))
            assert str(tmp_path / "log") not in served
            assert sum(each.startswith("socket:") for each in served) == 1

        play(story, count=3)
        log.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_workers(
    endless: Path, number: signal.Signals
) -> None:
    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        asked = asyncio.create_task(workers.run(hash_of(endless), within_s=1.0))
        await until(lambda: reads(pid, endless))
        os.kill(pid, number)
        os.kill(parent(pid), number)
        with pytest.raises(OutOfTime):
            await asked

    play(story)


PEER = """
import asyncio, sys
from shoal.flow.messages import Hash
from shoal.flow.work.workers import Workers

async def main():
    workers = Workers(2, print)
    await workers.start()
    while len(workers.pids) < 2:
        await asyncio.sleep(0.01)
    print(*workers.pids, flush=True)
    await workers.run(Hash(sys.argv[1], 0, 1 << 42), within_s=600)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_workers_end_with_their_peer(endless: Path, stopped: bool) -> None:
    """One of them computes, another waits; even a stopped one ends."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", PEER, str(endless)],
        stdout=subprocess.PIPE,
        env=environment,
    ) as peer:
        assert peer.stdout
        workers = [int(word) for word in peer.stdout.readline().split()]
        everybody = [*workers, parent(workers[0])]
        asyncio.run(until(lambda: any(reads(pid, endless) for pid in workers)))
        if stopped:
            os.kill(workers[0], signal.SIGSTOP)
        peer.kill()
        at = time.monotonic()
        asyncio.run(until(lambda: not any(runs(pid) for pid in everybody)))
        print(f"gone after {time.monotonic() - at:.3f} s")


# What becomes of files


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(
    endless: Path,
) -> None:
    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        asked = asyncio.create_task(workers.run(hash_of(endless), within_s=PATIENCE_S))
        await until(lambda: reads(pid, endless))
        os.truncate(endless, 1 << 20)
        assert await outcome(asked) == (
            "ChangedFile: file endless.npy: it was changed after it was added; "
            "add it again with --replace"
        )
        assert workers.pids == [pid]

    play(story)


def test_a_file_that_is_changed_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with path.open("wb") as file:
        file.truncate(1 << 28)

    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        os.kill(pid, signal.SIGSTOP)
        task = hash_of(path)
        asked = asyncio.create_task(workers.run(task, within_s=PATIENCE_S))
        os.kill(pid, signal.SIGCONT)
        await until(lambda: reads(pid, path))
        with path.open("ab") as file:
            file.write(b"new")
        with pytest.raises(ChangedFile):
            await asked

    play(story)


def test_what_is_changed_before_or_gone_is_an_error(tmp_path: Path) -> None:
    source = saved(tmp_path / "temps.npy", np.zeros(3))
    task = computing("positive", source)

    async def story(workers: Workers) -> None:
        saved(tmp_path / "temps.npy", np.ones(3))
        with pytest.raises(ChangedFile, match=r"file temps\.npy: .*--replace"):
            await workers.run(task, within_s=PATIENCE_S)
        (tmp_path / "temps.npy").unlink()
        with pytest.raises(NotFound, match=r"temps\.npy: it has gone; add it again"):
            await workers.run(task, within_s=PATIENCE_S)

    play(story)


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    source, target = saved(tmp_path / "a.npy", np.zeros(3000)), tmp_path / "b"

    async def story(workers: Workers) -> None:
        (pid,) = workers.pids
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, hard))
        with pytest.raises(NoSpace, match="result b: the disk is full; free some room"):
            await workers.run(
                computing("positive", source, target=target), within_s=PATIENCE_S
            )

    play(story)
    assert [each.name for each in tmp_path.iterdir()] == ["a.npy"]


def test_a_result_replaces_nothing(tmp_path: Path) -> None:
    source, target = saved(tmp_path / "a.npy", np.zeros(3)), tmp_path / "b"
    target.write_bytes(b"mine")
    task = computing("positive", source, target=target)

    async def story(workers: Workers) -> None:
        with pytest.raises(InvalidName, match="there is such a file already"):
            await workers.run(task, within_s=PATIENCE_S)
        away = computing("positive", source, target=tmp_path / "no" / "b")
        with pytest.raises(UnreadableFile, match="no such file or directory"):
            await workers.run(away, within_s=PATIENCE_S)

    play(story)
    assert target.read_bytes() == b"mine"


def test_mistakes_in_tasks_are_told_and_cost_no_worker(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npy", np.zeros(3))

    async def story(workers: Workers) -> None:
        before = workers.pids
        unknown = workers.run(computing("no_such", source), within_s=PATIENCE_S)
        assert "AttributeError" in await outcome(unknown)
        nowhere = Evaluate(Input(0), (source,), FLOAT, 3)
        assert "Misuse: task: no file for its rows" in await outcome(
            workers.run(nowhere, within_s=PATIENCE_S)
        )
        bad = Hash(source.path, -1, 5)
        assert "MalformedMessage" in await outcome(
            workers.run(bad, within_s=PATIENCE_S)
        )
        large = Evaluate(Constant(1 << 70), (), FLOAT, 3)
        assert "cannot be told to a worker" in await outcome(
            workers.run(large, within_s=PATIENCE_S)
        )
        assert workers.pids == before

    play(story)
