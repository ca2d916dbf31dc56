"""What a worker process does: read a task, carry it out, answer, until nobody asks.

Whatever goes wrong in a task is its answer. What ends the process is told by the one
that started it.
"""

import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import msgspec

from shoal.core.frames import MAX_FRAME_BYTES, FrameReader, framed
from shoal.core.wire import decoded
from shoal.errors import Misuse, OutOfMemory, ShoalError
from shoal.flow.messages import (
    Evaluate,
    Evaluated,
    Failed,
    Hash,
    Inspect,
    Known,
    Outcome,
    Ready,
    Source,
    Task,
)
from shoal.flow.work import files

Given = files.RowReader | int | float | bool

READ_BYTES = 1 << 16

# What a job's record may hold of one remark.
MAX_REMARK = 1000


_tasks: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_encode = msgspec.msgpack.Encoder().encode


def work(asker: socket.socket) -> None:
    """Carry out tasks until whoever asks has gone."""
    frames = FrameReader()
    asker.sendall(framed(_encode(Ready())))
    while data := asker.recv(READ_BYTES):
        for body in frames.feed(data):
            asker.sendall(framed(_answer(body)))


def _answer(body: bytes) -> bytes:
    answer = _encode(outcome(body))
    if len(answer) > MAX_FRAME_BYTES:
        answer = _encode(
            Failed("Refused", f"task: its answer of {len(answer)} bytes is too long")
        )
    return answer


def outcome(body: bytes) -> Outcome:
    """What comes of a task, and be it a failure."""
    try:
        return _carry_out(decoded(_tasks, body))
    except ShoalError as error:
        return Failed(type(error).__name__, str(error)[:MAX_REMARK])
    except MemoryError:
        return Failed(OutOfMemory.__name__, _too_large())
    except BaseException as error:  # Even one that asks to end the process.
        text = " ".join(f"task: {type(error).__name__}: {error}".split())
        return Failed(type(error).__name__, text[:MAX_REMARK])


def _too_large() -> str:
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    most = f"the {limit >> 20} MiB a worker may have"
    if limit == resource.RLIM_INFINITY:
        most = "there is"
    return f"task: it needs more memory than {most}; give it smaller rows"


def _carry_out(task: Task) -> Outcome:
    match task:
        case Inspect():
            return files.inspect(task)
        case Hash():
            return files.digest(task)
        case Evaluate():
            return _evaluate(task)


def _evaluate(task: Evaluate) -> Evaluated:
    # Not before there is something to compute: it brings a library of operations.
    from shoal.flow.arithmetic import kernel

    told: dict[str, int] = {}
    partial = b""
    with ExitStack() as sources, kernel.collected(told):
        given = [_given(each, sources) for each in task.given]
        step = (task.expression, given, task.form, task.rows)
        if task.reduction is not None:
            partial = kernel.partial_of(*step, task.reduction)
        elif task.target is not None:
            chunks = _unless_changed(kernel.rows_of(*step), given)
            files.write_rows(
                *(task.target, chunks, task.form, task.rows), stays=task.stays
            )
        else:
            raise Misuse("task: no file for its rows; give a target or a reduction")
    return Evaluated(partial, kernel.remarks(told))


def _given(given: Source | Known, sources: ExitStack) -> Given:
    if isinstance(given, Known):
        return given.value
    return sources.enter_context(files.reader(given))


def _unless_changed(
    chunks: Iterable[files.Rows], given: list[Given]
) -> Iterator[files.Rows]:
    """So that rows of a file that was changed never become a result."""
    yield from chunks
    for each in given:
        if isinstance(each, files.RowReader):
            each.check()
