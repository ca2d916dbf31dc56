"""Jobs, plans and operations as people read them."""

import sys
from itertools import groupby
from typing import Any

from shoal.cli.members import ago
from shoal.cli.sizes import bytes_of, seconds_of
from shoal.cli.tables import tabulate

# Longer expressions are cut in a list.
SHOWN = 200


def ended(record: dict[str, Any]) -> None:
    """What a job came to, and what it took."""
    if not _complained(record):
        took = seconds_of(record["duration_s"])
        print(f"{record['expression']} = {_result(record)}   {took}   ", end="")
        print(f"{_moved(record)}   job {record['id']}")


def brief(record: dict[str, Any]) -> None:
    """What a job came to, for a program."""
    if not _complained(record):
        print(record["value"] if record["dataset"] is None else record["dataset"])


def plan(told: dict[str, Any]) -> None:
    """How an expression would be carried out."""
    for line in told["why"]:
        print(line)
    for (at, about), alike in groupby(told["steps"], _where_and_what):
        numbers = [step["number"] for step in alike]
        count = f"steps {numbers[0]} to {numbers[-1]}"
        one = f"step {numbers[0]}"
        print(f"  {count if numbers[1:] else one} at {at}: {about}")
    print(f"moves about {_bytes(told['moves_bytes'], told)}")


def listed(records: list[dict[str, Any]]) -> None:
    """Jobs, a line each."""
    titles = ("id", "state", "since", "took", "moved", "expression = result", "tags")
    tabulate(titles, map(_row, records), foldable=titles[-2:])


def why(record: dict[str, Any]) -> None:
    """What a job did, where, what moved, and why."""
    print(f"job {record['id']}: {record['expression']}")
    print(f"  {record['state']}, asked of {record['asked']}", end="")
    print(f" by {record['user']}" if record["user"] else "", end="")
    print(f" {ago(record['submitted'])} ago", end="")
    print(f", collected by {record['driver']}" if record["driver"] else "")
    if record["reason"]:
        print(f"  because {record['reason']}")
    for name, dataset, version in record["inputs"]:
        print(f"  reads {name}: dataset {dataset}, version {version}")
    for line in (record["plan"] or {}).get("why", ()):
        print(f"  {line}")
    for sub in record["subs"]:
        print(f"  {_sub(sub)}")
    for warning in record["warnings"]:
        print(f"  NumPy warned: {warning}")
    if record["state"] == "done":
        print(f"  = {_result(record)}, after {seconds_of(record['duration_s'])}")
    print(f"  {_moved(record)} in all")


def operations(found: list[dict[str, Any]]) -> None:
    """What can be computed."""
    width = max(len(each["name"]) for each in found)
    for each in found:
        print(f"{each['name']:{width}}  {each['help']}")


def _complained(record: dict[str, Any]) -> bool:
    """Tell warnings, and why it failed, if it has."""
    for warning in record["warnings"]:
        print(f"shoal: warning: {warning}", file=sys.stderr)
    if record["state"] == "failed":
        print(f"shoal: job {record['id']}: {record['reason']}", file=sys.stderr)
    return bool(record["state"] == "failed")


def _result(record: dict[str, Any]) -> str:
    if record["dataset"] is None:
        return str(record["value"])
    rows = f", {record['rows']:,} rows of {record['type']}" if "rows" in record else ""
    return f"dataset {record['dataset']}{rows}"


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    text = record["expression"]
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    if record["state"] == "done":
        value = record["value"] if record["dataset"] is None else record["dataset"]
        text += f" = {value}"
    return (
        *(record["id"], record["state"], f"{ago(record['submitted'])} ago"),
        *(seconds_of(record["duration_s"]), bytes_of(record["moved_bytes"])),
        *(text, " ".join(record["tags"])),
    )


def _sub(sub: dict[str, Any]) -> str:
    tries = f", try {sub['tries']}" if sub["tries"] > 1 else ""
    return (
        f"{sub['about']} at {sub['executor']}: {sub['state']} in "
        f"{seconds_of(sub['duration_s'])}, moved {bytes_of(sub['moved_bytes'])}{tries}"
    )


def _where_and_what(step: dict[str, Any]) -> tuple[str, str]:
    return step["executors"][0], step["sub"] or "joins what the others made"


def _moved(record: dict[str, Any]) -> str:
    return f"moved {_bytes(record['moved_bytes'], record['plan'] or {})}"


def _bytes(moved: int, told: dict[str, Any]) -> str:
    return f"{bytes_of(moved)} (copying: {bytes_of(told.get('copying_bytes', 0))})"
