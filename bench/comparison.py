"""Comparing ourselves with a rival: processes, rounds in turn, medians, rows.

Contenders take turns within a round, and the order is turned round each time, so that
whatever else the machine does meets them all alike. A figure is the median of its
rounds. Processor time is read from the clocks of the processes themselves, the threads
of a library included.
"""

import json
import os
import platform
import select
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

RESULTS = Path(__file__).parent / "results"

# A Python process with its imports takes 0.3 s to start; ten others may want the CPU.
START_S = 20.0
END_S = 5.0

US = 1e6


class Row(Struct, frozen=True):
    """One figure of ours beside a rival's; a ratio above 1 is better for us."""

    measure: str
    unit: str
    ours: float
    rival_name: str
    rival: float
    ratio: float


class Round(Struct, frozen=True):
    """What one contender did in one round."""

    operations: float
    seconds: float
    cpu_s: float
    p50_s: float = 0.0  # Of one operation, where that was measured.
    p99_s: float = 0.0

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def cost_s(self) -> float:
        """Processor seconds per operation, of all its processes together."""
        return self.cpu_s / self.operations


class Standing(Struct, frozen=True):
    """The medians of one contender's rounds."""

    rate: float
    cost_s: float
    p50_s: float = 0.0
    p99_s: float = 0.0


def more_is_better(
    measure: str, unit: str, ours: float, rival_name: str, rival: float
) -> Row:
    """A row such as a rate."""
    return _row(measure, unit, (ours, rival), rival_name, ours / rival)


def less_is_better(
    measure: str, unit: str, ours: float, rival_name: str, rival: float
) -> Row:
    """A row such as a cost."""
    return _row(measure, unit, (ours, rival), rival_name, rival / ours)


def _row(
    measure: str, unit: str, figures: tuple[float, float], rival_name: str, ratio: float
) -> Row:
    ours, rival = map(_rounded, figures)
    return Row(measure, unit, ours, rival_name, rival, round(ratio, 3))


def _rounded(figure: float) -> float:
    """Four digits: more than any of these measurements is good for."""
    return float(f"{figure:.4g}")


# Rounds


def alternate(
    contenders: Mapping[str, Callable[[], Round]], rounds: int
) -> dict[str, Standing]:
    """Let each run once a round, after one round that does not count."""
    names = list(contenders)
    history: dict[str, list[Round]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name in names:
            history[name].append(contenders[name]())
        names.reverse()
    return {name: _standing(each[1:]) for name, each in history.items()}


def _standing(rounds: Sequence[Round]) -> Standing:
    return Standing(
        *(
            statistics.median(getattr(each, figure) for each in rounds)
            for figure in Standing.__struct_fields__
        )
    )


def fastest(standings: Mapping[str, Standing], rival: str) -> str:
    """Of all the forms a rival ran in, the name of the fastest."""
    forms = [name for name in standings if name.startswith(rival)]
    return max(forms, key=lambda name: standings[name].rate)


# Processes


class Child:
    """A process of a comparison: it is told, and answers, in lines of JSON."""

    def __init__(self, *command: str) -> None:
        self._name = " ".join(command)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._unread = b""

    def tell(self, *, within_s: float, **command: Any) -> Any:
        """Have it do something; what came of it."""
        assert self._process.stdin, "opened with a pipe"
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return self.hear(within_s)

    def hear(self, within_s: float) -> Any:
        """Wait for its next line."""
        assert self._process.stdout, "opened with a pipe"
        deadline = time.monotonic() + within_s
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self._name} said nothing for {within_s:.0f} s")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise ChildProcessError(f"{self._name} ended; see what it printed")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    @property
    def cpu_s(self) -> float:
        """Processor time of all its threads so far, to the microsecond."""
        # The number that clock_getcpuclockid(3) gives for a process on Linux.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def run_on(self, core: int) -> None:
        """Let it run on that core only, all its threads included."""
        for thread in os.listdir(f"/proc/{self._process.pid}/task"):
            os.sched_setaffinity(int(thread), {core})

    def end(self) -> None:
        """End it: it has nothing to lose."""
        self._process.kill()
        self._process.communicate(timeout=END_S)


def python(module: str, *arguments: str, interpreter: str = sys.executable) -> Child:
    """`python -m MODULE`, as a child."""
    return Child(interpreter, "-m", module, *arguments)


class Pair:
    """Two processes: one asks, the other answers."""

    def __init__(self, asker: Child, answerer: Child) -> None:
        self._asker = asker
        self._answerer = answerer

    def run(self, do: str, *, within_s: float = 60.0, **how: Any) -> Round:
        """Have the asker do something, and count what it cost both."""
        before = self._cpu_s()
        came = self.tell(do, within_s=within_s, **how)
        cpu_s = self._cpu_s() - before
        return Round(came["operations"], came["seconds"], cpu_s)

    def tell(self, do: str, *, within_s: float = 60.0, **how: Any) -> Any:
        """Have the asker do something; what it says about it."""
        return self._asker.tell(within_s=within_s, do=do, **how)

    def keep_apart(self) -> None:
        """From now on each has a core of its own, where there are two.

        On one core a latency shows little but the scheduler's slice of some 3 ms.
        """
        cores = sorted(os.sched_getaffinity(0))
        self._asker.run_on(cores[0])
        self._answerer.run_on(cores[-1])

    def _cpu_s(self) -> float:
        return self._asker.cpu_s + self._answerer.cpu_s


@contextmanager
def pair(module: str, *form: str) -> Iterator[Pair]:
    """`python -m MODULE answer` and `ask` while the block runs."""
    children: list[Child] = []
    try:
        children.append(python(module, "answer", *form))
        address = children[0].hear(START_S)
        children.append(python(module, "ask", *form, address))
        yield Pair(children[1], children[0])
    finally:
        for each in children:
            each.end()


# On the side of the child


def obey(deeds: Mapping[str, Callable[..., Any]]) -> None:
    """Do what each line of standard input says, until its end."""
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(deeds[command.pop("do")](**command)), flush=True)


def answer_at(address: str) -> None:
    """Say where we answer; whoever started us is gone when standard input ends."""
    print(json.dumps(address), flush=True)

    def wait_orphaned() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait_orphaned, daemon=True).start()


# Results


def as_json(rows: Sequence[Row]) -> str:
    """Rows as a JSON array."""
    return json.dumps(msgspec.to_builtins(rows), indent=2)


def record(
    name: str, rows: Sequence[Row], *, quick: bool, folder: Path = RESULTS
) -> Path:
    """Keep the rows with the machine they come from."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    result = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "rows": msgspec.to_builtins(rows),
    }
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(result, indent=2) + "\n")
    unfinished.replace(path)
    return path


def machine() -> dict[str, str | int | float]:
    """What the figures depend on; `load` is how many processes ran beside us."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
