"""Where workers come from, as the loop sees it.

One forkserver, started when the first worker is wanted and again if it is lost; a
socket to it, and one to each worker. A worker's end is told once, by who collected it.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from asyncio import FIRST_COMPLETED, Future
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import msgspec

from shoal.core.frames import FrameReader, framed
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage, WorkerLost
from shoal.flow.messages import Outcome, Ready
from shoal.flow.work.forkserver import (
    Born,
    Died,
    Fork,
    Kill,
    Settings,
    Told,
    Unborn,
)

log = logging.getLogger(__name__)

# Importing NumPy from a cold disk, on a busy machine. A guess.
BIRTH_S = 30.0

# Nothing but killing children is left to be done.
STOP_S = 5.0

READ_BYTES = 1 << 16

# Whoever has a dead worker's socket as well, such as its children, may keep it open.
LAST_WORDS_S = 1.0

# Of a complaint of the system, for a sentence.
MAX_WORDS = 200

# Its modules are found where ours are, whatever directory either stands in.
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from shoal.flow.work.forkserver import main; main(int(sys.argv[1]), sys.argv[2])"
)

_encode = msgspec.msgpack.Encoder().encode
_told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
_said: msgspec.msgpack.Decoder[Outcome | Ready] = msgspec.msgpack.Decoder(
    Outcome | Ready
)


class Worker(asyncio.Protocol):
    """One worker process: a task in, an outcome out."""

    def __init__(
        self,
        heard: Callable[["Worker", Outcome], None],
        hung_up: Callable[["Worker"], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._heard = heard
        self._hung_up = hung_up
        self._fail = fail
        self._frames = FrameReader()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._status = ""  # How it ended, once it is collected.
        self.pid = 0
        self.ready: Future[None] = self._loop.create_future()
        self.ended: Future[str] = self._loop.create_future()  # How, in words.
        self.closed: Future[None] = self._loop.create_future()

    @property
    def gone(self) -> bool:
        """Is there nobody to talk to?"""
        return self._transport is None or bool(self._status)

    def give(self, body: bytes) -> None:
        """A task, encoded."""
        assert self._transport
        self._transport.write(framed(body))

    def collected(self, how: str) -> None:
        """The process is no more. What it said before is read first."""
        self._status = how
        if self._transport:
            self._loop.call_later(LAST_WORDS_S, self.end, how)
        else:
            self.end(how)

    def end(self, how: str) -> None:
        """Talk to it no more."""
        if not self.ended.done():
            self.ended.set_result(how)
        if self._transport:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """We can talk to it."""
        # uvloop's transports are no instances of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """It says something."""
        try:
            for body in self._frames.feed(data):
                said = decoded(_said, body)
                if not isinstance(said, Ready):
                    self._heard(self, said)
                elif not self.ready.done():
                    self.ready.set_result(None)
        except MalformedMessage as error:  # It runs code of users: it may say anything.
            self.end(f"said what no worker says, {error}")
        except Exception as error:  # asyncio would only log it.
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over, or will be."""
        self._transport = None
        self.closed.set_result(None)
        if self._status:
            self.end(self._status)
        self._hung_up(self)


class Nursery:
    """Hires workers, and hears how they end."""

    def __init__(
        self,
        settings: Settings,
        heard: Callable[[Worker, Outcome], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._heard = heard
        self._fail = fail
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = FrameReader()
        self._expecting: deque[tuple[Worker, Future[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._gone: Future[None] = self._loop.create_future()
        self._talking: dict[Worker, None] = {}
        self.workers: dict[int, Worker] = {}

    async def hire(self) -> Worker:
        """A worker that is ready, or `WorkerLost`."""
        worker = Worker(self._heard, self._hung_up, self._fail)
        try:
            async with asyncio.timeout(BIRTH_S):
                await self._bear(worker)
                await asyncio.wait(
                    (worker.ready, worker.ended), return_when=FIRST_COMPLETED
                )
        except TimeoutError as error:
            self._lose(f"did nothing for {BIRTH_S:g} s")
            raise WorkerLost("workers: the system is too slow to start one") from error
        except OSError as error:
            raise WorkerLost(
                f"workers: none can be started, {error.strerror}; "
                "try again when the machine has room"
            ) from error
        except BaseException:
            worker.end("was not wanted")
            raise
        if worker.ended.done():
            raise WorkerLost(
                f"worker {worker.pid}: it {worker.ended.result()} before it was ready; "
                "look at the memory it may have, and at what it imports"
            )
        return worker

    def kill(self, worker: Worker) -> None:
        """End a worker at once, if it is there."""
        if worker.pid in self.workers and self._control:
            self._ask(Kill(worker.pid))

    async def stop(self) -> None:
        """End all workers."""
        if self._control:
            gone, self._stopping = self._gone, True
            self._control.shutdown(socket.SHUT_WR)
            await asyncio.wait([gone], timeout=STOP_S)
            if not gone.done():
                self._lose("did not end when it was told to")
        if closing := [each.closed for each in self._talking]:
            await asyncio.wait(closing, timeout=STOP_S)

    def _hung_up(self, worker: Worker) -> None:
        """Who talks to us no more is of no use, if it lives."""
        self._talking.pop(worker, None)
        self.kill(worker)

    async def _bear(self, worker: Worker) -> None:
        """Have a process forked that this worker stands for."""
        if not self._control:
            self._begin()
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._talking[worker] = None
            await self._loop.create_unix_connection(lambda: worker, sock=ours)
            born: Future[int] = self._loop.create_future()
            self._expecting.append((worker, born))
            self._ask(Fork(), theirs.fileno())
        await born

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        given = msgspec.json.encode(self._settings).decode()
        number = str(theirs.fileno())
        path = [os.path.abspath(each) for each in sys.path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, number, given, *path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control, self._gone = ours, self._loop.create_future()
        self._frames = FrameReader()
        self._loop.add_reader(ours, self._hear)

    def _ask(self, what: Fork | Kill, *descriptors: int) -> None:
        assert self._control
        try:
            data = framed(_encode(what))
            socket.send_fds(self._control, [data], descriptors)
        except OSError as error:  # It reads at once, unless it has gone or is stopped.
            self._lose(f"was lost, {error.strerror}")

    def _hear(self) -> None:
        try:
            self._listen()
        except Exception as error:  # asyncio would only log it.
            self._fail(error)

    def _listen(self) -> None:
        assert self._control
        try:
            data = self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for body in self._frames.feed(data):
            self._take(_told.decode(body))
        if not data:
            self._lose("ended")

    def _take(self, told: Told) -> None:
        match told:
            case Born(pid):
                worker, born = self._expecting.popleft()
                worker.pid = pid
                self.workers[pid] = worker
                if not born.done():
                    born.set_result(pid)
            case Unborn(why):
                _, born = self._expecting.popleft()
                if not born.done():
                    born.set_exception(WorkerLost(f"workers: none can be made, {why}"))
            case Died(pid, status):
                self.workers.pop(pid).collected(_in_words(status))

    def _lose(self, how: str) -> None:
        """The forkserver is no more, and so are its workers."""
        if not self._control or not self._process:
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        self._control = None
        why = f"workers: their forkserver {how}{_last_words(self._process)}"
        if not self._stopping:
            log.warning("%s", why)
        for worker in self.workers.values():
            worker.end("was lost with its forkserver")
        self.workers.clear()
        for _, born in self._expecting:
            if not born.done():
                born.set_exception(WorkerLost(why))
        self._expecting.clear()
        self._gone.set_result(None)


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """End a process that has nothing more to do, and read what it complained of."""
    process.kill()
    process.wait()
    assert process.stderr
    with process.stderr as complaints:
        os.set_blocking(complaints.fileno(), False)
        text = complaints.read() or b""
    last = text.decode(errors="replace").strip().rpartition("\n")[2]
    return f": {last[:MAX_WORDS]}" if last else ""


def _in_words(status: int) -> str:
    """How a process ended."""
    if not os.WIFSIGNALED(status):
        return f"ended with code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    with suppress(ValueError):
        return f"was killed by {signal.Signals(number).name}"
    return f"was killed by signal {number}"
