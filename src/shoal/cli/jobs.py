"""shoal run, jobs, result, why, operations: expressions, and what became of them."""

import sys
import time
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from shoal.cli import which
from shoal.cli.members import ago
from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import FAILED, show
from shoal.cli.sizes import bytes_of
from shoal.client.jobs import Flow, Job

WITHIN = Parameter(name="--within", validator=validators.Number(gt=0))


def run(
    expression: str,
    /,
    *,
    tag: tuple[str, ...] = (),
    collect: Literal["largest", "random"] = "largest",
    within: Annotated[float | None, WITHIN] = None,
    detach: bool = False,
    explain: bool = False,
    options: Options = PLAIN,
) -> int:
    """Compute an expression of datasets where they lie, and wait for it.

    Parameters
    ----------
    expression
        Such as 'mean(temps)', 'real2bin(a, b)' or 'sqrt(a * a + b * b)', in quotes for
        the shell. A dataset stands there by its name, as ds("exp-1/2") if that is no
        word, or as tag("first") if no other has that tag. A job's id is its result.
    tag
        A word to find the job by, and its result if that is rows; may be given several
        times.
    collect
        Who brings it together: the peer that holds the most of the data, or a random
        one that holds some.
    within
        Let it fail after so many seconds; without it, it may take any time.
    detach
        Print the job's id and return at once; ask for it later: shoal result ID.
    explain
        Print how it would be carried out and what would move, and do nothing.
    """
    flow = _flow(options)
    if explain:
        show(flow.explain(expression), as_json=options.json, people=_plan)
        return 0
    job = flow.run(expression, tags=tag, within_s=within or 0.0, collect=collect)
    if detach:
        show(job.record if options.json else job.id, as_json=options.json)
        return 0
    return _follow(job, options)


def result(
    id: str,  # noqa: A002 - it is one.
    /,
    *,
    options: Options = PLAIN,
) -> int:
    """Wait for a job, however long, and print what it came to.

    Parameters
    ----------
    id
        The job's, or its first letters.
    """
    return _follow(_flow(options).job(id), options)


def jobs(*, tag: str = "", options: Options = PLAIN) -> None:
    """List the jobs of the network, the latest first.

    Parameters
    ----------
    tag
        Only those that were run with this tag.
    """
    show(_flow(options).jobs(tag), as_json=options.json, people=_list)


def why(
    id: str,  # noqa: A002
    /,
    *,
    options: Options = PLAIN,
) -> None:
    """Say what a job read, did where, moved, and why; or why it failed.

    Parameters
    ----------
    id
        The job's, or its first letters.
    """
    record = _flow(options).job(id).record
    show(record, as_json=options.json, people=_why)


def operations(*, options: Options = PLAIN) -> None:
    """List the operations that an expression may use."""
    show(_flow(options).operations(), as_json=options.json, people=_operations)


def _flow(options: Options) -> Flow:
    return which.client(options.timeout).flow


def _follow(job: Job, options: Options) -> int:
    """Wait for its end, however long; show how it goes on a terminal."""
    watching = sys.stderr.isatty() and not options.json
    began = time.monotonic()

    def watch(record: dict[str, Any]) -> None:
        if time.monotonic() - began > 1:
            done = sum(each["state"] == "done" for each in record["subs"])
            print(f"\r  {done}/{len(record['subs'])} parts", end="", file=sys.stderr)

    record = job.wait(watch=watch if watching else None)
    if watching and time.monotonic() - began > 1:
        print("\r\x1b[K", end="", file=sys.stderr)
    show(record, as_json=options.json, people=_ended)
    return FAILED if record["state"] == "failed" else 0


# For people


def _ended(record: dict[str, Any]) -> None:
    for warning in record["warnings"]:
        print(f"shoal: warning: {warning}", file=sys.stderr)
    if record["state"] == "failed":
        print(f"shoal: job {record['id']}: {record['reason']}", file=sys.stderr)
        return
    value = record["value"] if record["dataset"] is None else record["dataset"]
    plan = record["plan"] or {}
    print(
        f"{record['expression']} = {value}   {record['duration_s']:.3g} s   "
        f"moved {bytes_of(record['moved_bytes'])} "
        f"(copying: {bytes_of(plan.get('copying_bytes', 0))})   job {record['id']}"
    )


def _plan(plan: dict[str, Any]) -> None:
    for line in plan["why"]:
        print(line)
    for step in plan["steps"]:
        at = step["executors"][0]
        about = step["sub"] or "joins what the others made"
        print(f"  step {step['number']} at {at}: {about}")
    print(
        f"moves about {bytes_of(plan['moves_bytes'])} "
        f"(copying: {bytes_of(plan['copying_bytes'])})"
    )


def _list(records: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("id", "state", "since", "took", "moved"):
        table.add_column(title, no_wrap=True)
    for title in ("expression", "result", "tags"):
        table.add_column(title, overflow="fold")
    for each in records:
        value = each["value"] if each["dataset"] is None else each["dataset"]
        table.add_row(
            each["id"],
            each["state"],
            f"{ago(each['submitted'])} ago",
            f"{each['duration_s']:.3g} s",
            bytes_of(each["moved_bytes"]),
            each["expression"],
            "" if value is None else str(value),
            " ".join(each["tags"]),
        )
    Console().print(table)


def _why(record: dict[str, Any]) -> None:
    print(f"job {record['id']}: {record['expression']}")
    print(f"  {record['state']}, asked of {record['asked']}", end="")
    print(f", collected by {record['driver']}" if record["driver"] else "")
    if record["reason"]:
        print(f"  because {record['reason']}")
    for name, dataset, version in record["inputs"]:
        print(f"  reads {name}: dataset {dataset}, version {version}")
    for line in (record["plan"] or {}).get("why", ()):
        print(f"  {line}")
    for sub in record["subs"]:
        tries = f", try {sub['tries']}" if sub["tries"] > 1 else ""
        print(
            f"  {sub['about']} at {sub['executor']}: {sub['state']} in "
            f"{sub['duration_s']:.3g} s, moved {bytes_of(sub['moved_bytes'])}{tries}"
        )
    copying = (record["plan"] or {}).get("copying_bytes", 0)
    moved = bytes_of(record["moved_bytes"])
    print(f"  moved {moved} in all (copying: {bytes_of(copying)})")


def _operations(found: list[dict[str, Any]]) -> None:
    width = max(len(each["name"]) for each in found)
    for each in found:
        print(f"{each['name']:{width}}  {each['help']}")
