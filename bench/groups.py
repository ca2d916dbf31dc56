"""Several servers that are one table, and a light client that asks them.

Ours are peers in processes of their own; who drives them is one Go program that drives
etcd as well, so that both sides meet the same load.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.comparison import Child, Round
from bench.rivals.redis import END_S, START_S, ask

SETUP = Path(".setup")
DRIVER = Path(__file__).parent / "rivals" / "driver"

# Debian keeps the sources of etcd's client there, with all they need.
GOPATH = "/usr/share/gocode"
NEEDED = "etcd-server golang-etcd-server-dev golang-go"

# A driver's whole round is a few seconds; filling a slow disk's table takes longest.
ROUND_S = 120.0
BUILD_S = 600.0


class Group:
    """Processes that serve one table at some ports of loopback."""

    def __init__(
        self, ports: Sequence[int], processes: list[subprocess.Popen[bytes]]
    ) -> None:
        self.ports = ports
        self._processes = processes

    @property
    def addresses(self) -> str:
        """As the driver takes them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def cpu_s(self) -> float:
        """Processor time of all its processes so far, and of all they started."""
        return sum(map(_cpu_s, self._everybody()))

    def end(self) -> None:
        """End all of it, by process id."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until(self, ready: Callable[[int], bool], log: Path) -> None:
        """Wait until each port is."""
        deadline = time.monotonic() + START_S
        for port in self.ports:
            while not _attempt(ready, port):
                if any(each.poll() is not None for each in self._processes):
                    said = log.read_text().strip().rpartition("\n")[2]
                    raise ChildProcessError(f"who serves port {port} ended: {said}")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"port {port} does not answer; see {log}")
                time.sleep(0.02)

    def _everybody(self) -> Iterator[int]:
        waiting = [each.pid for each in self._processes]
        while waiting:
            pid = waiting.pop()
            yield pid
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())


def _cpu_s(pid: int) -> float:
    # The number that clock_getcpuclockid(3) gives for a process on Linux.
    return time.clock_gettime((~pid << 3) | 2)


def _attempt(ready: Callable[[int], bool], port: int) -> bool:
    try:
        return ready(port)
    except OSError:
        return False


@contextmanager
def started(
    ports: Sequence[int],
    commands: Sequence[Sequence[str]],
    log: Path,
    ready: Callable[[int], bool],
) -> Iterator[Group]:
    """These servers while the block runs; what they say goes to a log."""
    processes: list[subprocess.Popen[bytes]] = []
    group = Group(ports, processes)
    with log.open("wb") as said:
        try:
            processes.extend(
                subprocess.Popen(
                    command, stdout=said, stderr=said, env=home(log.parent)
                )
                for command in commands
            )
            group.wait_until(ready, log)
            yield group
        finally:
            group.end()


def home(root: Path) -> dict[str, str]:
    """The environment of a user who lives there, and has no other peers."""
    ours = ("SHOAL_", "XDG_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "HOME": str(root.resolve())}


def shoal(*arguments: str) -> list[str]:
    """One of our commands."""
    return [sys.executable, "-m", "shoal", *arguments]


def has(command: str, word: str) -> bool:
    """Does the help of a command name this? Some are still to come."""
    told = subprocess.run(
        shoal(*command.split(), "--help"), capture_output=True, text=True, check=False
    )
    return told.returncode == 0 and word in told.stdout


@contextmanager
def peers(count: int, root: Path, *options: str) -> Iterator[Group]:
    """So many of ours, a network."""
    ports = free_ports(count)
    root.mkdir()
    where = ("--listen", f"127.0.0.1:{ports[0]}", "--dir", str(root / "peers"))
    command = shoal("up", "--peers", str(count), *where, *options)
    with started(ports, [command], root / "log", answers) as group:
        yield group


def answers(port: int) -> bool:
    """Does a server of Redis's protocol?"""
    return ask(port, "PING").startswith(b"+PONG")


def free_ports(count: int) -> range:
    """Neighbours that nobody listens on just now."""
    for first in range(21000, 31000, 16):
        try:
            with ExitStack() as held:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            return range(first, first + count)
        except OSError:
            continue
    raise OSError(f"no {count} neighbouring ports are free from 21000 to 31000")


# Who drives them


def driver() -> Path | None:
    """The client in Go, built where it is missing; nothing where it cannot be."""
    program, sources = SETUP / "driver", sorted(DRIVER.glob("*.go"))
    newest = max(each.stat().st_mtime for each in sources)
    if program.exists() and program.stat().st_mtime > newest:
        return program
    etcd = Path(GOPATH, "src/go.etcd.io/etcd/clientv3")
    if not shutil.which("go") or not etcd.is_dir():
        tell(f"not compared: install {NEEDED}")
        return None
    SETUP.mkdir(exist_ok=True)
    cache = {
        "GO111MODULE": "off",
        "GOPATH": GOPATH,
        "GOCACHE": str(SETUP.resolve() / "go"),
    }
    subprocess.run(
        ["go", "build", "-o", program, *sources],
        env={**os.environ, **cache},
        check=True,
        timeout=BUILD_S,
    )
    return program


class Driven:
    """A group, and a driver that asks it in one way."""

    def __init__(self, group: Group, child: Child) -> None:
        self._group = group
        self._child = child

    def run(self, do: str, **how: float) -> Round:
        """One round, and what it cost the servers. A refusal ends the comparison."""
        before = self._group.cpu_s
        came = self._child.tell(within_s=ROUND_S, do=do, **how)
        cpu_s = self._group.cpu_s - before
        if "error" in came:
            raise RuntimeError(f"{do} {how}: {came['error']}")
        return Round(
            came["operations"], came["seconds"], cpu_s, came["p50_s"], came["p99_s"]
        )


@contextmanager
def driven(program: Path, group: Group, *how: str, at: str = "") -> Iterator[Driven]:
    """Drive a group, or some of it: `etcd` CONNECTIONS, `any` or `owner`."""
    way, *rest = how
    child = Child(str(program), way, at or group.addresses, *rest)
    try:
        child.hear(START_S)
        yield Driven(group, child)
    finally:
        child.end()


def tell(line: str) -> None:
    """Beside the table of results."""
    print(f"# {line}", file=sys.stderr)
