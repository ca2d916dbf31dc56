"""Records, and an owner that is killed: its process, not its manners."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.cluster import START_S, wait_until

ROOT = Path(__file__).parents[2]


class Archivist:
    """A peer in a process of its own."""

    def __init__(self, directory: Path, *join: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.archivist", directory, *join],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        self.told = json.loads(self._from.readline())

    def ask(self, do: str, **named: Any) -> Any:
        self._to.write(json.dumps({"do": do, **named}) + "\n")
        self._to.flush()
        return json.loads(self._from.readline())

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self._process.kill()
        self._to.close()
        self._process.wait(START_S)
        self._from.close()


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[list[Archivist]]:
    first = Archivist(tmp_path / "0")
    started = [first]
    try:
        address = first.told["address"]
        started += [Archivist(tmp_path / str(n), address) for n in (1, 2)]
        yield started
    finally:
        for each in started:
            each.end()


def agree(peers: list[Archivist]) -> str | None:
    """On who owns a record; and all three keep copies of everything."""
    views = [peer.ask("look") for peer in peers]
    same = all(view == views[0] for view in views)
    return views[0]["owner"] if same and views[0]["copies_on"] == 3 else None


def test_a_killed_owner_is_replaced_and_what_it_told_is_there(
    peers: list[Archivist],
) -> None:
    wait_until(lambda: agree(peers), START_S, "all to agree")
    made = peers[0].ask("create", ids=[f"j{n}" for n in range(200)])
    name = agree(peers)
    [owner] = [peer for peer in peers if peer.told["name"] == name]
    others = [peer for peer in peers if peer is not owner]

    owner.end(kill=True)  # Most of them were told by it a moment ago, and are there.
    peers.remove(owner)
    made |= others[1].ask("create", ids=[f"later{n}" for n in range(50)])
    wait_until(lambda: all(p.ask("list") == made for p in others), 10, "their boards")

    back = Archivist(owner.directory, others[0].told["address"])
    peers.append(back)
    wait_until(lambda: back.ask("list") == made, START_S, "its board")
    made |= back.ask("create", ids=["last"])
    wait_until(lambda: all(p.ask("list") == made for p in peers), 10, "all boards")
