"""Peers with datasets, for tests of what is computed where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoal.client import Client
from shoal.client.jobs import Flow
from tests.end_to_end.cluster import Cluster, Node, wait_all_alive

Array = np.ndarray[Any, Any]

# Nobody waits longer for a job here; no promise.
JOB_S = 60.0

MILLION = 1_000_000


@dataclass
class Lab:
    """A network, and what lies where."""

    cluster: Cluster
    nodes: list[Node]
    arrays: dict[str, Array]

    def flow(self, n: int = 0) -> Flow:
        """What a user of the n-th peer asks."""
        return self.client(n).flow

    def client(self, n: int = 0) -> Client:
        node = self.nodes[n]
        return Client(node.address, node.token, timeout_s=JOB_S)

    def run(self, expression: str, n: int = 0, **wishes: Any) -> dict[str, Any]:
        """The record of a job that has ended."""
        return self.flow(n).run(expression, **wishes).wait(JOB_S)

    def value(self, expression: str, n: int = 0) -> Any:
        record = self.run(expression, n)
        assert record["state"] == "done", record["reason"]
        return record["value"]

    def rows(self, record: dict[str, Any], n: int = 0) -> Array:
        assert record["state"] == "done", record["reason"]
        return self.flow(n).array(record["dataset"])


def lab(cluster: Cluster, files: Sequence[Mapping[str, Array]], *options: str) -> Lab:
    """Peers that hold these, the first one first."""
    nodes: list[Node] = []
    arrays: dict[str, Array] = {}
    for number, held in enumerate(files):
        given: list[str] = []
        for name, array in held.items():
            path = save(cluster.root / f"data{number}", name, array)
            given += ["--data", str(path)]
            arrays[name] = array
        join = ("--join", nodes[0].address) if nodes else ()
        where = ("--dir", str(cluster.root / f"peer{number}"))
        nodes += cluster.up(*where, *join, *given, *options)
    wait_all_alive(nodes)
    return Lab(cluster, nodes, arrays)


def save(directory: Path, name: str, array: Array) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.npy"
    np.save(path, array)
    return path


def integers(seed: int, count: int = MILLION) -> Array:
    """As the original's: from 1 to 100."""
    return np.random.default_rng(seed).integers(1, 101, count)
