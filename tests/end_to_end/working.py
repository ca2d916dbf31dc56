"""Workers in a loop of their own, and processes looked at from outside."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import uvloop

from shoal.errors import (
    ShoalError,
)
from shoal.flow.language.expressions import Call, Expression, Input
from shoal.flow.messages import (
    Evaluate,
    Form,
    Hash,
    Known,
    Source,
)
from shoal.flow.work.workers import Workers

T = TypeVar("T")
Play = Callable[[Workers], Awaitable[T]]

# No promise: ten times what a busy machine takes.
PATIENCE_S = 20.0

FLOAT = Form("<f8")

# Hashing it takes an hour; it takes no room.
ENDLESS_BYTES = 1 << 42

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
Loop = Callable[[], asyncio.AbstractEventLoop]


def play(play: Play[T], loop: Loop = LOOPS[0], count: int = 1, **settings: Any) -> T:
    """With workers of that kind; what a peer must never meet fails the test."""
    bugs: list[Exception] = []

    async def main() -> T:
        preload = ["tests.end_to_end.kernel", *settings.pop("preload", [])]
        workers = Workers(count, bugs.append, preload=preload, **settings)
        await workers.start()
        try:
            async with asyncio.timeout(PATIENCE_S * 2):
                return await play(workers)
        finally:
            await workers.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        found = runner.run(main())
    assert bugs == []
    return found


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - processes set no events.
            await asyncio.sleep(0.005)


async def outcome(awaited: Awaitable[object]) -> str:
    """An error in words: its type's name, and what it says."""
    with pytest.raises(ShoalError) as caught:
        await awaited
    return f"{caught.type.__name__}: {caught.value}"


def held(pid: int) -> list[str]:
    """What a process has open."""
    folder, found = Path(f"/proc/{pid}/fd"), []
    for each in list(folder.iterdir()):
        try:
            found.append(os.readlink(each))
        except FileNotFoundError:
            continue
    return found


def reads(pid: int, path: Path) -> bool:
    return str(path) in held(pid)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def replaced(workers: Workers, pid: int) -> bool:
    return len(workers.pids) == 1 and pid not in workers.pids


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().split(") ")[1].split()[1])


def hash_of(path: Path) -> Hash:
    found = path.stat()
    stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
    return Hash(str(path), 0, found.st_size, stamp=stamp)


def saved(path: Path, rows: Any) -> Source:
    np.save(path, rows)
    found = path.stat()
    return Source(
        str(path),
        offset=found.st_size - rows.nbytes,
        form=Form(rows.dtype.str, rows.shape[1:]),
        start=0,
        stop=len(rows),
        stamp=(found.st_size, found.st_mtime_ns, found.st_ino),
    )


def computing(
    operation: str, source: Source, *more: Expression, target: Path | None = None
) -> Evaluate:
    return Evaluate(
        Call(operation, (Input(0), *more)),
        (source, Known(2)),
        FLOAT,
        rows=source.stop - source.start,
        reduction=None if target else "sum",
        target=str(target) if target else None,
    )
