"""etcd with three members, as its own manual runs it on one machine.

Nothing is turned off and nothing turned down: each change is synced by a majority
before its answer, and reads are linearizable, both as by default.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.groups import Group, free_ports, started

MEMBERS = 3

# What a healthy member answers in at once; an election takes a second.
PATIENCE_S = 5.0


def program() -> str | None:
    """Where it is installed, or nothing."""
    return shutil.which("etcd")


@contextmanager
def etcd(root: Path) -> Iterator[Group]:
    """Three members, while the block runs."""
    ports = free_ports(2 * MEMBERS)
    clients, others = ports[:MEMBERS], ports[MEMBERS:]
    names = [f"member{n}" for n in range(MEMBERS)]
    all_of_them = ",".join(
        f"{name}={_url(port)}" for name, port in zip(names, others, strict=True)
    )
    root.mkdir()
    commands = [
        _command(root / name, client, other, all_of_them)
        for name, client, other in zip(names, clients, others, strict=True)
    ]
    with started(clients, commands, root / "log", _healthy) as group:
        yield group


def leader(group: Group) -> int:
    """The port of the member that decides just now."""
    for port in group.ports:
        status = _post(port, "/v3/maintenance/status")
        if status["leader"] == status["header"]["member_id"]:
            return port
    raise LookupError("etcd has no leader")


def _command(directory: Path, client: int, other: int, members: str) -> list[str]:
    options = {
        "name": directory.name,
        "data-dir": str(directory),
        "listen-client-urls": _url(client),
        "advertise-client-urls": _url(client),
        "listen-peer-urls": _url(other),
        "initial-advertise-peer-urls": _url(other),
        "initial-cluster": members,
        "initial-cluster-state": "new",
        "logger": "zap",
        "log-level": "warn",
    }
    installed = program()
    assert installed, "asked before"
    return [installed, *(f"--{name}={value}" for name, value in options.items())]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _healthy(port: int) -> bool:
    with urlopen(f"{_url(port)}/health", timeout=PATIENCE_S) as answer:
        return bool(json.load(answer)["health"] == "true")


def _post(port: int, path: str) -> Any:
    asked = Request(f"{_url(port)}{path}", data=b"{}", method="POST")
    with urlopen(asked, timeout=PATIENCE_S) as answer:
        return json.load(answer)
