"""Machines that are none: network namespaces, joined by a bridge in one more.

Nothing of it is seen by the machine's own network, so any addresses do.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.end_to_end.cluster import Cluster, Node, Records

Answer = TypeVar("Answer")

CLONE_NEWNET = 0x40000000
PORT = 7600


def require_namespaces() -> None:
    """Skip where they cannot be had; where everything must be tested, fail."""
    reason = _missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"network namespaces: {reason}")
    if reason:
        pytest.skip(f"network namespaces: {reason}")


def _missing() -> str:
    if os.geteuid() != 0:
        return "only root can make them"
    for tool in ("ip", "iptables"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    done = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=False
    )
    return done.stderr.strip()


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


class Machine:
    """One namespace: an address, a home, and a firewall."""

    def __init__(self, name: str, host: str, root: Path) -> None:
        self.name = name
        self.host = host
        self.cluster = Cluster(root, ("ip", "netns", "exec", name))

    def up(self, *arguments: str) -> Node:
        """Start a peer that others can reach."""
        listen = ("--listen", f"{self.host}:{PORT}", "--insecure")
        return self.cluster.up(*listen, *arguments)[0]

    def members(self, node: Node) -> Records:
        """Ask the peer here from here."""
        return self.inside(node.members)

    def drop(self, *rule: str) -> None:
        """Lose what matches and comes in from elsewhere."""
        self._iptables("-A", "INPUT", "!", "-i", "lo", *rule, "-j", "DROP")

    def lift(self) -> None:
        """Lose nothing any more."""
        self._iptables("-F")

    def inside(self, call: Callable[[], Answer]) -> Answer:
        """Call this with the sockets of the namespace."""
        with ThreadPoolExecutor(1) as thread:  # The thread stays inside until it ends.
            return thread.submit(self._enter_and, call).result()

    def _enter_and(self, call: Callable[[], Answer]) -> Answer:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{self.name}").open("rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
        return call()

    def _iptables(self, *arguments: str) -> None:
        run("ip", "netns", "exec", self.name, "iptables", "-w", *arguments)


class Namespaces:
    """Some machines on one switch."""

    def __init__(self, root: Path, count: int) -> None:
        self._prefix = f"shoal-{os.getpid()}"
        self._hub = f"{self._prefix}-hub"
        self._made: list[str] = []
        # Who is here reaches every machine, whatever is cut between these.
        self.outside = Machine(self._hub, "10.7.0.254", root / "outside")
        self.machines = [
            Machine(f"{self._prefix}-{n}", f"10.7.0.{n}", root / str(n))
            for n in range(1, count + 1)
        ]
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def members(self, node: Node) -> Records:
        """Ask a peer from where it is."""
        machine = next(m for m in self.machines if node in m.cluster.started)
        return machine.members(node)

    def part(self, one: Iterable[Machine], other: Iterable[Machine]) -> None:
        """Let nothing through between two groups, either way."""
        left, right = list(one), list(other)
        self.deafen(left, right)
        self.deafen(right, left)

    def deafen(self, one: Iterable[Machine], other: Iterable[Machine]) -> None:
        """Let nothing through to these from the others; what they say is heard."""
        others = list(other)
        for machine in one:
            for each in others:
                machine.drop("-s", each.host)

    def lift(self) -> None:
        """Let everything through again."""
        for machine in self.machines:
            machine.lift()

    def remove(self) -> None:
        """End the peers, then take everything down, whatever fails."""
        try:
            for machine in self.machines:
                machine.cluster.stop()
        finally:
            for name in self._made:
                subprocess.run(["ip", "netns", "del", name], check=False)

    def _make(self) -> None:
        self._add(self._hub)
        self._hubbed("link", "add", "switch", "type", "bridge")
        self._hubbed("link", "set", "switch", "up")
        self._hubbed("address", "add", f"{self.outside.host}/24", "dev", "switch")
        for n, machine in enumerate(self.machines, 1):
            self._add(machine.name)
            port = f"port{n}"
            cable = ("type", "veth", "peer", "name", port, "netns", self._hub)
            run("ip", "-n", machine.name, "link", "add", "eth0", *cable)
            self._hubbed("link", "set", port, "master", "switch", "up")
            here = ("ip", "-n", machine.name)
            run(*here, "address", "add", f"{machine.host}/24", "dev", "eth0")
            run(*here, "link", "set", "lo", "up")
            run(*here, "link", "set", "eth0", "up")

    def _add(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._made.append(name)

    def _hubbed(self, *arguments: str) -> None:
        run("ip", "-n", self._hub, *arguments)
