"""A small process with one thread, from which workers are forked.

It imports what workers need, then waits: it forks when it is asked, kills whom it is
told to, and says who ended and how. Nobody else collects its children, so a number it
is told is never another process's. When whoever asks is gone, so are the workers, and
then it.

    asker ── Fork, Kill ──▶ forkserver ── fork ──▶ worker
          ◀── Born, Died ──            ◀── status ──
    asker ◀────────── tasks and answers ─────────▶ worker
"""

import gc
import os
import resource
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from importlib import import_module
from select import select

import msgspec
from msgspec import Struct

from shoal.core.frames import FrameReader, framed

# Peers answer probes while workers work.
NICENESS = 5

READ_BYTES = 1 << 12

# As many descriptors come with one read at most; more would be lost.
MAX_DESCRIPTORS = 64

_DEATH_SIGNAL = 1  # What Linux calls PR_SET_PDEATHSIG.


class Settings(Struct, frozen=True):
    """What all workers have in common."""

    memory_bytes: int
    preload: tuple[str, ...]


class Fork(Struct, frozen=True, tag="fork"):
    """Make a worker, who talks through the descriptor that comes along."""


class Kill(Struct, frozen=True, tag="kill"):
    """End a worker at once."""

    pid: int


class Born(Struct, frozen=True, tag="born"):
    """There is a worker: answers to `Fork` keep their order."""

    pid: int


class Unborn(Struct, frozen=True, tag="unborn"):
    """There is none."""

    why: str


class Died(Struct, frozen=True, tag="died"):
    """A worker ended, with that status of `os.waitpid`."""

    pid: int
    status: int


Asked = Fork | Kill
Told = Born | Unborn | Died

_encode = msgspec.msgpack.Encoder().encode
_asked: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)


def main(number: int, given: str) -> None:
    """Serve whoever holds the other end of that socket."""
    settings = msgspec.json.decode(given, type=Settings)
    for told in (signal.SIGINT, signal.SIGTERM):  # A whole group is: for the peer.
        signal.signal(told, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.nice(NICENESS)
    # One thread each, as NumPy's libraries read it when they are loaded: workers are
    # as many as there are processors, and a process with threads is not to be forked.
    for library in ("OPENBLAS", "OMP", "MKL", "VECLIB"):
        os.putenv(f"{library}_NUM_THREADS", "1")
    os.putenv("VECLIB_MAXIMUM_THREADS", "1")
    for module in settings.preload:
        import_module(module)
    gc.freeze()  # What is there stays shared.
    Forkserver(socket.socket(fileno=number), settings).serve()


class Forkserver:
    """Forks, kills, and collects."""

    def __init__(self, asker: socket.socket, settings: Settings) -> None:
        self._asker = asker
        self._settings = settings
        self._children: dict[int, None] = {}
        self._frames = FrameReader()
        self._descriptors: deque[int] = deque()
        self._ended, ending = os.pipe()
        os.set_blocking(ending, False)
        os.set_blocking(self._ended, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # So that the pipe is told.
        signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
        self._ending = ending

    def serve(self) -> None:
        """Until the asker has gone."""
        try:
            while self._turn():
                pass
        except ConnectionError:
            pass  # Nobody is told any more.
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)

    def _turn(self) -> bool:
        """Do what there is to do; false when the asker has gone."""
        asker = self._asker.fileno()
        readable, _, _ = select([asker, self._ended], [], [])
        if self._ended in readable:
            self._collect()
        return asker not in readable or self._hear()

    def _hear(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(
            self._asker, READ_BYTES, MAX_DESCRIPTORS
        )
        for number in descriptors:
            os.set_inheritable(number, False)
            self._descriptors.append(number)
        for body in self._frames.feed(data):
            match _asked.decode(body):
                case Fork():
                    self._tell(self._fork(self._descriptors.popleft()))
                case Kill(pid) if pid in self._children:
                    os.kill(pid, signal.SIGKILL)
        return bool(data)

    def _fork(self, descriptor: int) -> Told:
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            return Unborn(error.strerror or str(error))
        if not pid:
            self._become_worker(descriptor, me)
        os.close(descriptor)
        self._children[pid] = None
        return Born(pid)

    def _become_worker(self, descriptor: int, parent: int) -> None:
        """Never return: what is on the stack is the forkserver's."""
        code = 1
        try:
            _die_with(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._asker.close()
            for number in (self._ended, self._ending, *self._descriptors):
                os.close(number)
            os.dup2(1, 2)  # To nobody: the forkserver's last words are the asker's.
            _limit_memory(self._settings.memory_bytes)
            _work(socket.socket(fileno=descriptor))
            code = 0
        finally:
            os._exit(code)

    def _collect(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._ended, READ_BYTES):
                pass
        for pid in list(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._children[pid]
                self._tell(Died(pid, status))

    def _tell(self, news: Told) -> None:
        self._asker.sendall(framed(_encode(news)))


def _work(asker: socket.socket) -> None:
    from shoal.flow.work.worker import work

    with suppress(ConnectionError):
        work(asker)


def _die_with(parent: int) -> None:
    """Even a worker that computes ends when the forkserver is killed: on Linux."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit_memory(size_bytes: int) -> None:
    """An array too large is an error then, and not the end of the machine."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        size_bytes = min(size_bytes, most)
    with suppress(ValueError, OSError):  # Where the system knows no such limit.
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))
