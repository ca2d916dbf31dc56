"""shoal members, shoal status."""

import time
from typing import Any

from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import show
from shoal.cli.tables import tabulate


def members(*, options: PeerOptions = ANY) -> None:
    """Who is in the network, since when, and who says so."""
    records = which.client(options.timeout, options.project).members()
    show(records, as_json=options.json, people=_table)


def status(*, options: PeerOptions = ANY) -> None:
    """How the peer is that this machine's commands talk to."""
    told = which.client(options.timeout, options.project).status()
    show(told, as_json=options.json, people=_status)


def _table(records: list[dict[str, Any]]) -> None:
    rows = [
        (
            *(each["name"], each["address"], each["state"]),
            *(f"{ago(each['since'])} ago", _why(each)),
        )
        for each in records
    ]
    titles = ("name", "address", "state", "since", "why")
    tabulate(titles, rows, foldable=("why",))


def _why(record: dict[str, Any]) -> str:
    if record["state"] == "alive":
        return str(record["reason"])
    return f"{record['reason']}, say {', '.join(record['witnesses'])}"


def _status(told: dict[str, Any]) -> None:
    names = {key: key.replace("_", " ") for key in told} | {"since": "up for"}
    told["since"] = ago(told["since"])
    width = max(map(len, names.values()))
    for key, value in told.items():
        print(f"{names[key]:{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def ago(since: float) -> str:
    """A duration as people say it."""
    seconds = max(0, int(time.time() - since))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
