"""Peers in processes of their own whose records are reached over pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.end_to_end.cluster import START_S

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
