"""shoal demo."""

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from shoal.cli.options import PLAIN, Options
from shoal.client import Client
from shoal.core.machine import Address
from shoal.errors import ShoalError, Unanswered
from shoal.net.registry import list_running

PEERS = 5


def demo(*, options: Options = PLAIN) -> int:
    """Show a network on this machine in under a minute: five peers, one killed.

    Everything it prints is read from the running peers. It uses free ports and a
    directory of its own, and leaves nothing behind.
    """
    from shoal.cli.spawn import stop

    with tempfile.TemporaryDirectory(prefix="shoal-demo-") as directory:
        play = _Play(Path(directory))
        try:
            play.everything()
        finally:
            stop(play.children)
    list_running()  # Which forgets those that are gone.
    if options.json:
        import json

        print(json.dumps(play.figures))
    return 0


class _Play:
    """The demonstration, act by act."""

    def __init__(self, directory: Path) -> None:
        from shoal.cli.plan import Plan
        from shoal.cli.spawn import Child, of_one_network

        first = Plan.read(listen="127.0.0.1:0", directory=directory)
        self._plans = of_one_network([first.number(n + 1) for n in range(PEERS)])
        self.children: list[Child] = []
        self._told: list[dict[str, Any]] = []
        self._clients: list[Client] = []
        self.figures: dict[str, Any] = {}

    def everything(self) -> None:
        """All acts, in order."""
        self._start()
        self._meet()
        self._kill()
        self._restart()

    def _start(self) -> None:
        from shoal.cli.spawn import start

        print(f"Starting {PEERS} peers on this machine. Nobody is in charge of them.\n")
        began = time.monotonic()
        self._told = start(self._plans, self.children, time.monotonic() + 30)
        for told in self._told:
            print(f"  {told['name']:24} {told['address']:16} process {told['pid']}")
        self.figures["start_s"] = round(time.monotonic() - began, 3)
        secret = self._plans[0].secret
        assert secret, "a network has a secret"
        self._clients = [
            Client(Address(told["address"]), secret.hex()) for told in self._told
        ]

    def _meet(self) -> None:
        """Everybody finds everybody, though each knew one address at most."""
        print("\nEach knew at most one address. Now each one sees:\n")
        _wait(lambda: all(len(_alive(each)) == PEERS for each in self._clients))
        since = []
        for told, client in zip(self._told, self._clients, strict=True):
            members = client.members()
            since += [each["since"] for each in members]
            names = [each["name"] for each in members if each["state"] == "alive"]
            print(f"  {told['name']:24} sees {len(names)} members alive")
        self.figures["found_s"] = round(max(since) - self._told[-1]["since"], 3)

    def _kill(self) -> None:
        """One is killed; who noticed, and how soon?"""
        victim = self._told[2]
        print(f"\nKilling {victim['name']} with kill -9, before your eyes.\n")
        killed = time.time()
        os.kill(victim["pid"], signal.SIGKILL)
        self.children[2].process.wait()
        others = [client for n, client in enumerate(self._clients) if n != 2]
        _wait(lambda: all(_state(each, victim["name"]) == "dead" for each in others))
        times = []
        for client in others:
            record = _record(client, victim["name"])
            me = client.status()["name"]
            times.append(record["since"] - killed)
            print(f"  {me:24} noticed after {times[-1] * 1000:4.0f} ms")
        print(f"\n  why: {record['reason']}\n  say: {', '.join(record['witnesses'])}")
        self.figures["noticed_s"] = [round(each, 4) for each in times]

    def _restart(self) -> None:
        """It comes back as itself, and is welcomed."""
        from shoal.cli.spawn import spawn

        victim = self._told[2]
        print("\nStarting it again, on the same directory.\n")
        began = time.time()
        join = [told["address"] for n, told in enumerate(self._told) if n != 2]
        self.children[2] = spawn(self._plans[2], join)
        told = self.children[2].wait_up(time.monotonic() + 30)
        others = [client for n, client in enumerate(self._clients) if n != 2]
        _wait(lambda: all(_state(each, victim["name"]) == "alive" for each in others))
        record = _record(others[0], victim["name"])
        took = max(_record(each, victim["name"])["since"] for each in others) - began
        print(
            f"  {told['name']} is alive again for all after {took:.2f} s,\n"
            f"  in life {record['generation']}, now at {record['address']}\n"
        )
        self.figures["welcomed_s"] = round(took, 3)
        print("Stopping all of them. Yours to keep: shoal up --peers 5 --detach")


def _record(client: Client, name: str) -> dict[str, Any]:
    return next((each for each in client.members() if each["name"] == name), {})


def _state(client: Client, name: str) -> str:
    return str(_record(client, name).get("state", "unknown"))


def _alive(client: Client) -> list[str]:
    return [each["name"] for each in client.members() if each["state"] == "alive"]


def _wait(condition: Any, within_s: float = 15) -> None:  # noqa: ANN401
    end = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except ShoalError:
            pass  # A peer that is just starting does not answer yet.
        if time.monotonic() > end:
            raise Unanswered(
                f"demonstration: the peers did not agree in {within_s:g} s; "
                "is this machine overloaded?"
            )
        time.sleep(0.01)  # Their view changes by itself; nothing tells us when.
