"""Jobs of ours beside Ray's and Dask's: the same arrays, in the same places.

Two peers hold an array each, as two actors and two workers do; a third is asked. Ours
are recorded and synced twice each, found again by any peer, and outlive who asked;
theirs are not. Every round computes anew: nobody remembers an answer.
"""

import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from subprocess import run as execute

import numpy as np

from bench.comparison import (
    Child,
    Round,
    Row,
    alternate,
    less_is_better,
    more_is_better,
    python,
)
from shoal.client import Client
from tests.end_to_end.cluster import Cluster
from tests.end_to_end.science import Lab, integers, lab

RIVALS = {"ray": "bench.rivals.ray_actors", "dask": "bench.rivals.dask_workers"}
NEEDED = Path(__file__).parent / "rivals" / "requirements.txt"
PLACE = Path(".setup/rivals")

START_S, WITHIN_S = 120.0, 120.0

# One after the other, and all at once.
FEW, MANY = 50, 300

# Enough for a 99th percentile; a job takes longer.
GETS, PAUSE_S = 500, 0.001
LARGE, LONG = 40_000_000, "sum(sin(cos(sin(cos(large)))))"


def run(*, quick: bool) -> list[Row]:
    """Use case 2, and small operations, in seconds and per second."""
    rounds = 3 if quick else 7
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as root, ExitStack() as stack:
        ours = stack.enter_context(peers(Path(root)))
        files = [str(ours.cluster.root / f"data{n}" / f"DS{n}.npy") for n in (1, 2)]
        rivals = {
            name: stack.enter_context(rival(module, files))
            for name, module in RIVALS.items()
        }
        for what, deed, count in (
            ("use case 2 on 10^6 numbers", "use_case_2", 1),
            ("small operation elsewhere, one by one", "small", FEW),
            ("small operations, asked at once", "many", MANY),
        ):
            contenders: dict[str, Callable[[], Round]] = {
                "ours": partial(DEEDS[deed], ours, count)
            }
            for name, child in rivals.items():
                contenders[name] = partial(ask, child, deed, count)
            rows += compare(what, contenders, rounds, rate=deed == "many")
        rows += moved(ours)
        rows += beside(ours, rounds)
    return rows


@contextmanager
def peers(root: Path) -> Iterator[Lab]:
    """Three: one is asked, and holds nothing."""
    cluster = Cluster(root)
    small, large = np.arange(1000) * 1.5, np.arange(LARGE) * 1.5
    here = {"DS1": integers(1), "large": large}
    try:
        yield lab(cluster, [{}, here, {"DS2": integers(2), "small": small}])
    finally:
        cluster.stop()


@contextmanager
def rival(module: str, files: list[str]) -> Iterator[Child]:
    """One that has loaded both arrays."""
    child = python(module, *files, interpreter=interpreter())
    try:
        child.tell(within_s=START_S, do="small", count=1)
        yield child
    finally:
        child.end()


def interpreter() -> str:
    """Python with the rivals, apart from ours: they need other versions."""
    python = PLACE / "bin" / "python"
    mark = PLACE / "installed"
    if not mark.exists() or mark.read_text() != NEEDED.read_text():
        venv.create(PLACE, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", "-r", str(NEEDED)]
        execute([*command, "--disable-pip-version-check"], check=True)
        mark.write_text(NEEDED.read_text())
    return str(python)


# What is done


def use_case_2(ours: Lab, count: int) -> Round:
    """Until the result is there, where it stays."""
    began = time.perf_counter()
    for _ in range(count):
        record = ours.flow().run("real2bin(DS1, DS2)").wait(WITHIN_S)
        assert record["state"] == "done", record["reason"]
    return Round(count, time.perf_counter() - began, 0)


def small(ours: Lab, count: int) -> Round:
    """One after the other, from the question to the answer."""
    flow = ours.flow()
    began = time.perf_counter()
    for _ in range(count):
        assert float(flow.run("mean(small)").result(WITHIN_S)) == MEAN
    return Round(count, time.perf_counter() - began, 0)


def many(ours: Lab, count: int) -> Round:
    """All asked before the first is waited for."""
    flow = ours.flow()
    began = time.perf_counter()
    jobs = flow.run_many(["mean(small)"] * count)
    for job in jobs:
        assert float(job.result(WITHIN_S)) == MEAN
    return Round(count, time.perf_counter() - began, 0)


MEAN = float((np.arange(1000) * 1.5).mean())
DEEDS = {"use_case_2": use_case_2, "small": small, "many": many}


def ask(child: Child, deed: str, count: int) -> Round:
    """A rival does the same."""
    how = {} if deed == "use_case_2" else {"count": count}
    came = child.tell(within_s=WITHIN_S, do=deed, **how)
    return Round(came["operations"], came["seconds"], 0)


def compare(
    what: str, contenders: dict[str, Callable[[], Round]], rounds: int, *, rate: bool
) -> list[Row]:
    """Ours beside each rival."""
    standings = alternate(contenders, rounds)
    mine = standings["ours"].rate
    return [
        more_is_better(what, "1/s", mine, name, each.rate)
        if rate
        else less_is_better(what, "ms", 1e3 / mine, name, 1e3 / each.rate)
        for name, each in standings.items()
        if name != "ours"
    ]


def moved(ours: Lab) -> list[Row]:
    """What moved, beside copying the data to who asks."""
    rows = []
    for text in ("mean(DS1)", "real2bin(DS1, DS2)"):
        record = ours.run(text)
        copying = record["plan"]["copying_bytes"]
        rows.append(
            less_is_better(
                f"{text} of 10^6: moved", "B", record["moved_bytes"], "copying", copying
            )
        )
    return rows


def beside(ours: Lab, rounds: int) -> list[Row]:
    """A round trip at the peer that computes, while it does and while it idles."""
    client = ours.client(1)
    client.table.put("k", b"v")
    quiet, busy = list[list[float]](), list[list[float]]()
    for _ in range(rounds):
        quiet.append(round_trips(client))
        job = ours.flow().run(LONG)
        busy.append(round_trips(client))
        assert job.look()["state"] == "active", "it was over before we were"
        job.wait(WITHIN_S)
    return [
        less_is_better(
            f"GET at a peer that computes: {what}",
            "us",
            median(pick(each) for each in busy) * 1e6,
            "idle",
            median(pick(each) for each in quiet) * 1e6,
        )
        for what, pick in (("median", median), ("p99", p99))
    ]


def round_trips(client: Client) -> list[float]:
    """Of a key, one after the other, with a pause in between."""
    times = []
    for _ in range(GETS):
        began = time.perf_counter()
        client.table.get("k")
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return times


def p99(times: Iterable[float]) -> float:
    """So long do all but one in a hundred take at most."""
    return quantiles(times, n=100)[-1]
