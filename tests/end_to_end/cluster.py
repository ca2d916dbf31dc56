"""Peers in processes of their own, in a home of their own, for tests to hurt."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.client import Client
from shoal.core.machine import Address
from shoal.errors import ShoalError

SOURCES = Path(__file__).parents[2] / "src"

# Starting five interpreters on two busy cores takes seconds; this is no promise.
START_S = 30.0

# Between two looks at a condition.
LOOK_S = 0.02

Records = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Node:
    """One running peer."""

    name: str
    address: Address
    network: str
    pid: int
    directory: Path

    @property
    def token(self) -> str:
        return (self.directory / "token").read_text().strip()

    def client(self) -> Client:
        return Client(self.address, self.token, timeout_s=5)

    def members(self) -> Records:
        """What this peer believes, by name."""
        return {each["name"]: each for each in self.client().get("/api/members")}

    def log(self) -> str:
        return (self.directory / "peer.log").read_text()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> float:
        """Send a signal; the moment it was sent."""
        at = time.time()
        os.kill(self.pid, number)
        return at

    @property
    def runs(self) -> bool:
        """Is the process there? One that nobody has collected has ended."""
        return process_runs(self.pid)


class Cluster:
    """A user with a home, who starts peers and asks them."""

    def __init__(self, root: Path, prefix: tuple[str, ...] = ()) -> None:
        self.root = root
        self._prefix = prefix  # Such as: ip netns exec NAME.
        self.started: list[Node] = []
        root.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")},
            "HOME": str(root),
            "XDG_DATA_HOME": str(root / "share"),
            "XDG_STATE_HOME": str(root / "state"),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "PYTHONPATH": str(SOURCES),
        }

    def shoal(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        within_s: float = 2 * START_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*self._prefix, sys.executable, "-m", "shoal", *arguments],
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Run one command in the foreground, and talk with it meanwhile."""
        return subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "shoal", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """What a command that must succeed prints with --json."""
        done = self.shoal(*arguments, "--json", environment=environment)
        assert done.returncode == 0, f"{arguments}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout)

    def up(self, *arguments: str) -> list[Node]:
        """Start detached peers, on free ports unless told otherwise."""
        listen = () if "--listen" in arguments else ("--listen", ":0")
        told = self.ask(
            "up", "--detach", "--timeout", str(START_S), *listen, *arguments
        )
        fresh = [
            Node(
                each["name"],
                Address(each["address"]),
                each["network"],
                each["pid"],
                Path(each["directory"]),
            )
            for each in told
        ]
        self.started += fresh
        return fresh

    def restart(self, node: Node, *arguments: str) -> Node:
        """Start it again on its directory and address."""
        where = ("--dir", str(node.directory), "--listen", node.address)
        return self.up(*where, *arguments)[0]

    def stop(self) -> None:
        """End every process that was started here, whatever state it is in."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            for node in self.started:
                _signal(node, number)
        try:
            wait_until(lambda: not any(n.runs for n in self.started), 5, "peers to end")
        except AssertionError:
            for node in self.started:
                _signal(node, signal.SIGKILL)
            raise


def _signal(node: Node, number: signal.Signals) -> None:
    if node.runs:
        with suppress(ProcessLookupError):
            os.kill(node.pid, number)


def process_runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(holds: Callable[[], object], within_s: float, what: str) -> None:
    """Look until it is so. A peer that cannot be asked yet is no answer."""
    end = time.monotonic() + within_s
    while True:
        error: object = ""
        try:
            if holds():
                return
        except ShoalError as trouble:
            error = trouble
        assert time.monotonic() < end, f"waited {within_s:g} s for {what} {error}"
        time.sleep(LOOK_S)


Asked = Callable[[Node], Records]


def all_see(
    watchers: Iterable[Node],
    names: Iterable[str],
    state: str,
    ask: Asked = Node.members,
) -> bool:
    """Does every watcher believe this of all of these?"""
    wanted = list(names)
    return all(
        seen.get(name, {}).get("state") == state
        for seen in map(ask, watchers)
        for name in wanted
    )


def wait_all_alive(nodes: list[Node], within_s: float = START_S) -> None:
    """Wait until each of these is alive for each of these."""
    names = [node.name for node in nodes]
    wait_until(lambda: all_see(nodes, names, "alive"), within_s, f"{names} to find all")
