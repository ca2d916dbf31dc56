"""shoal bench table: what the network that runs does for one client, and for many."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from shoal.cli import which
from shoal.cli.load import OUTLIERS, STAGES, Stage, together, work
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import show
from shoal.client import Client
from shoal.errors import Misuse, ShoalError, Unanswered

COUNT = Parameter(validator=validators.Number(gte=1, lte=1_000_000))
CLIENTS = Parameter(validator=validators.Number(gte=1, lte=64))

# A process with its imports takes a tenth of a second; ten others may want the CPU.
START_S = 20.0

# A stage may take so much longer than each of its operations may: it is a bench.
PATIENCE = 60

# With how many clients, stage by stage, how it went for each of them.
Runs = dict[int, dict[str, list[Stage]]]


def bench(
    what: Literal["table"] = "table",
    /,
    *,
    clients: Annotated[int, CLIENTS] = 1,
    ops: Annotated[int, COUNT] = 1000,
    plot: Path | None = None,
    options: PeerOptions = ANY,
) -> None:
    """Measure the table of the network that runs: insert, lookup, scan, remove.

    Then pairs of insert and remove that make the log grow until it is compacted, for
    the fastest and the slowest operation. What it puts, it removes.

    Parameters
    ----------
    what
        The table.
    clients
        Measure with 1, 2 and so on to so many clients at once, each a process.
    ops
        So many operations a client in each stage; a twentieth of it scans.
    plot
        Draw the sums over the number of clients, into a file FILE.svg.
    """
    if plot and plot.suffix != ".svg":
        raise Misuse(f"plot {plot}: its form is not known; name it {plot.stem}.svg")
    client = which.client(options.timeout, options.project)
    runs: Runs = {}
    for count in range(1, clients + 1):
        runs[count] = _measure(client, count, STAGES, ops)
        if not options.json:
            _print_run(count, runs[count])
    outliers = _measure(client, 1, (OUTLIERS,), ops)[OUTLIERS]
    if options.json:
        show(_told(runs, outliers), as_json=True)
    else:
        _print_outliers(outliers)
    if plot:
        from shoal.cli.plot import svg

        plot.write_text(svg(_sums(runs), "clients at once", "operations a second"))


def _measure(
    client: Client, count: int, stages: tuple[str, ...], ops: int
) -> dict[str, list[Stage]]:
    """Each stage begins for all clients at once."""
    patience_s = client.timeout_s * PATIENCE
    with _workers(client, count) as told:
        found: dict[str, list[Stage]] = {}
        for stage in stages:
            for each in told:
                each.send((stage, ops))
            found[stage] = [s for each in told for s in _heard(each, stage, patience_s)]
        for each in told:
            each.send(None)
    return found


def _heard(told: Connection, stage: str, patience_s: float) -> list[Stage]:
    if not told.poll(patience_s + START_S):
        raise Unanswered(
            f"bench: the stage {stage} took more than {patience_s:g} s; "
            "ask for fewer --ops"
        )
    heard = told.recv()
    if isinstance(heard, ShoalError):
        raise heard
    stages: list[Stage] = heard
    return stages


@contextmanager
def _workers(client: Client, count: int) -> Iterator[list[Connection]]:
    """So many processes, each a client, until the block ends."""
    context = multiprocessing.get_context("spawn")
    processes, ours = [], []
    try:
        for number in range(count):
            here, there = context.Pipe()
            arguments = (there, client.address, number, client.timeout_s)
            processes.append(context.Process(target=work, args=arguments, daemon=True))
            processes[-1].start()
            there.close()
            ours.append(here)
        yield ours
        for process in processes:
            process.join(START_S)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for here in ours:
            here.close()


# Telling


def _sums(runs: Runs) -> dict[str, list[tuple[int, float]]]:
    """Operations a second of all clients together, for each stage."""
    return {
        stage: [(n, together(run[stage]).rate) for n, run in runs.items()]
        for stage in STAGES
    }


def _told(runs: Runs, outliers: list[Stage]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "clients": count,
                **{
                    stage: {
                        "each": [_figures(each) for each in run[stage]],
                        "sum_ops_per_s": round(together(run[stage]).rate, 1),
                    }
                    for stage in STAGES
                },
            }
            for count, run in runs.items()
        ],
        "outliers": dict(
            zip(("insert", "remove"), map(_figures, outliers), strict=True)
        ),
    }


def _figures(stage: Stage) -> dict[str, float]:
    return {
        "operations": stage.operations,
        "ops_per_s": round(stage.rate, 1),
        "latency_s": round(stage.latency_s, 7),
        "fastest_s": round(stage.fastest_s, 7),
        "slowest_s": round(stage.slowest_s, 7),
    }


def _print_run(count: int, run: dict[str, list[Stage]]) -> None:
    from rich.console import Console
    from rich.table import Table

    of = "1 client" if count == 1 else f"{count} clients at once"
    table = Table(box=None, pad_edge=False, title=of, title_justify="left")
    for title in ("operations a second", *STAGES):
        table.add_column(title, justify="left" if " " in title else "right")
    for number in range(count):
        rates = [f"{run[stage][number].rate:,.0f}" for stage in STAGES]
        table.add_row(f"client {number + 1}", *rates)
    if count > 1:
        sums = [f"{together(run[stage]).rate:,.0f}" for stage in STAGES]
        table.add_row("sum", *sums)
    means = [sum(s.latency_s for s in run[stage]) / count for stage in STAGES]
    table.add_row("mean latency, ms", *(f"{1000 * mean:.3f}" for mean in means))
    Console().print(table)


def _print_outliers(outliers: list[Stage]) -> None:
    for name, stage in zip(("insert", "remove"), outliers, strict=True):
        print(
            f"{stage.operations} pairs, {name}: fastest {1000 * stage.fastest_s:.3f} "
            f"ms, slowest {1000 * stage.slowest_s:.3f} ms"
        )
