"""shoal demo: the main job on one machine, in under a minute.

Every figure it prints is read from the running peers; what is right, NumPy says.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.cli.options import PLAIN, Options
from shoal.cli.sizes import bytes_of
from shoal.client import Client
from shoal.core.machine import Address
from shoal.errors import ShoalError, Unanswered
from shoal.net.registry import list_running

if TYPE_CHECKING:
    from shoal.cli.spawn import Child

PEERS = 5
MILLION = 1_000_000

# Who holds what; the first and the last hold nothing. Two have the same file.
HELD = [(), ("DS1", "temps"), ("DS2", "temps"), ("DS1", "temps"), ()]
VICTIM = 1  # It holds DS1, of which there is a copy, and a part that only it has.


def demo(*, options: Options = PLAIN) -> int:
    """Show the main job on this machine: five peers, and datasets on three of them.

    It computes where the data lies, kills a peer before your eyes, and computes on.
    Every figure is read from the running peers. It uses free ports and a directory of
    its own, and leaves nothing behind.
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
        self._root = directory
        self.children: list[Child] = []
        self._told: list[dict[str, Any]] = []
        self._clients: list[Client] = []
        self.figures: dict[str, Any] = {}

    def everything(self) -> None:
        """All acts, in order."""
        self._lay_out()
        self._start()
        self._look()
        self._compute()
        self._kill()
        self._go_on()
        self._restart()

    # The stage

    def _lay_out(self) -> None:
        """Files, as they lie around in a laboratory."""
        import numpy as np

        rng = np.random.default_rng(1)
        self._arrays = {
            "DS1": rng.integers(1, 101, MILLION),
            "DS2": rng.integers(1, 101, MILLION),
        }
        self._temps = []
        self._data: list[tuple[Path, ...]] = []
        for number, names in enumerate(HELD):
            paths = []
            for name in names:
                if name in self._arrays:
                    rows: Any = self._arrays[name]
                else:  # Each has temperatures of its own.
                    rows = rng.normal(14, 8, MILLION)
                    self._temps.append(rows)
                paths.append(_saved(self._root / f"data-{number + 1}", name, rows))
            self._data.append(tuple(paths))

    def _start(self) -> None:
        from dataclasses import replace

        from shoal.cli.plan import Plan
        from shoal.cli.spawn import of_one_network, start

        _say(f"Starting {PEERS} peers on this machine. Nobody is in charge of them.\n")
        first = Plan.read(listen="127.0.0.1:0", directory=self._root, workers=1)
        plans = of_one_network([first.number(n + 1) for n in range(PEERS)])
        self._plans = [
            replace(plan, data=data)
            for plan, data in zip(plans, self._data, strict=True)
        ]
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
        _wait(lambda: all(len(_alive(each)) == PEERS for each in self._clients))

    def _look(self) -> None:
        _say(
            "Three of them were given files. Each peer knows what there is; the first\n"
            "one, which we ask from now on, holds nothing itself:\n"
        )
        flow = self._clients[0].flow
        _wait(lambda: self._copies("DS1") == 2 and self._parts("temps") == 3)
        for each in flow.datasets():
            holders = [name for part in each["parts"] for name in part["holders"]]
            size = bytes_of(each["size_bytes"])
            print(
                f"  {each['name']:8} {each['rows']:9,} rows of {each['type']:8}"
                f" {size:>7}  at {', '.join(holders)}"
            )

    # The main job

    def _compute(self) -> None:
        one, two = self._arrays["DS1"], self._arrays["DS2"]
        _say(
            "Use case 1: is each number odd? The operation goes to where DS1 lies,\n"
            "and the result stays there.\n"
        )
        self._run("real2bin(DS1)", one % 2)
        _say(
            "Use case 2: the same of two datasets, added up. Each peer makes its own\n"
            "a byte a number, and one of them sends these to the other.\n"
        )
        self._run("real2bin(DS1, DS2)", one % 2 + two % 2)
        _say("The mean of three files at three peers. Three partial sums move.\n")
        self._run("mean(temps)", _mean(self._temps))

    def _run(self, expression: str, right: Any) -> None:  # noqa: ANN401 - as NumPy's.
        """Compute, and compare with NumPy, which has all the data in one place."""
        import numpy as np

        flow = self._clients[0].flow
        began = time.monotonic()
        job = flow.run(expression)
        record = job.wait(30)
        took = time.monotonic() - began
        print(f"  $ shoal run '{expression}'")
        if record["state"] == "failed":
            print(f"    refused: {record['reason']}")
            self.figures.setdefault("refused", []).append(expression)
            return
        for sub in record["subs"]:
            took_ms = sub["duration_s"] * 1000
            print(f"    {sub['about']:20} at {sub['executor']}: {took_ms:.0f} ms")
        same = np.allclose(np.asarray(job.result()), right, rtol=1e-12)
        what = record["value"]
        if name := record["dataset"]:
            what = f"dataset {name}, {flow.dataset(name)['rows']:,} rows"
        copying = record["plan"]["copying_bytes"]
        print(
            f"    = {what}\n    {'as NumPy says' if same else 'NOT AS NUMPY SAYS'}, "
            f"after {took:.2f} s; moved {bytes_of(record['moved_bytes'])} "
            f"(copying: {bytes_of(copying)})"
        )
        self.figures.setdefault("jobs", []).append(
            {
                "expression": expression,
                "seconds": round(took, 4),
                "moved_bytes": record["moved_bytes"],
                "copying_bytes": copying,
                "right": bool(same),
            }
        )

    # One dies

    def _kill(self) -> None:
        """One is killed; who noticed, and how soon?"""
        victim = self._told[VICTIM]
        _say(f"Killing {victim['name']} with kill -9, before your eyes.\n")
        killed = time.time()
        os.kill(victim["pid"], signal.SIGKILL)
        self.children[VICTIM].process.wait()
        others = self._others()
        _wait(lambda: all(_state(each, victim["name"]) == "dead" for each in others))
        times = []
        for client in others:
            times.append(_record(client, victim["name"])["since"] - killed)
            name = client.status()["name"]
            print(f"  {name:24} noticed after {times[-1] * 1000:4.0f} ms")
        self.figures["noticed_s"] = [round(each, 4) for each in times]

    def _go_on(self) -> None:
        _say("It held DS1. There is a copy, so the next answer is right too:\n")
        self._run("sum(DS1)", self._arrays["DS1"].sum())
        _say("It also held a third of the temperatures, and nobody else does:\n")
        self._run("mean(temps)", _mean(self._temps))

    def _restart(self) -> None:
        """It comes back as itself, and is welcomed."""
        from shoal.cli.spawn import spawn

        victim = self._told[VICTIM]
        _say("Starting it again, on the same directory and files.\n")
        began = time.time()
        join = [told["address"] for n, told in enumerate(self._told) if n != VICTIM]
        self.children[VICTIM] = spawn(self._plans[VICTIM], join)
        self.children[VICTIM].wait_up(time.monotonic() + 30)
        others = self._others()
        _wait(lambda: all(_state(each, victim["name"]) == "alive" for each in others))
        took = max(_record(each, victim["name"])["since"] for each in others) - began
        print(f"  {victim['name']} is alive again for all after {took:.2f} s")
        self.figures["welcomed_s"] = round(took, 3)
        self._run("mean(temps)", _mean(self._temps))
        _say("Stopping all of them. Yours to keep:  shoal up --data FILE.npy --detach")

    def _others(self) -> list[Client]:
        return [client for n, client in enumerate(self._clients) if n != VICTIM]

    def _copies(self, name: str) -> int:
        [part] = self._clients[0].flow.dataset(name)["parts"]
        return len(part["holders"])

    def _parts(self, name: str) -> int:
        return len(self._clients[0].flow.dataset(name)["parts"])


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


def _saved(folder: Path, name: str, rows: Any) -> Path:  # noqa: ANN401 - an array.
    import numpy as np

    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", rows)
    return folder / f"{name}.npy"


def _mean(arrays: list[Any]) -> float:
    import numpy as np

    return float(np.concatenate(arrays).mean())


def _record(client: Client, name: str) -> dict[str, Any]:
    return next((each for each in client.members() if each["name"] == name), {})


def _state(client: Client, name: str) -> str:
    return str(_record(client, name).get("state", "unknown"))


def _alive(client: Client) -> list[str]:
    return [each["name"] for each in client.members() if each["state"] == "alive"]


def _wait(condition: Callable[[], bool], within_s: float = 15) -> None:
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
