"""Dask as its manual says: arrays scattered to workers, functions sent to them by name.

Run by the interpreter it is installed for: `python -m bench.rivals.dask_workers A B`,
where the two are files of numbers.
"""

import sys
import time
from typing import Any

import numpy as np
from distributed import Client, LocalCluster  # type: ignore[import-not-found]

from bench.comparison import obey


def real2bin(rows: Any) -> Any:
    """Of all rows."""
    return (np.floor(rows) % 2).astype(np.uint8)


def added(one: Any, other: Any) -> Any:
    """Both together."""
    return one + other


def mean(rows: Any) -> float:
    """Of all rows."""
    return float(rows.mean())


def main() -> None:
    """Do what is asked, until nobody asks."""
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    client = Client(cluster)
    places = list(client.scheduler_info()["workers"])
    arrays = [np.load(path) for path in sys.argv[1:]]
    held = [
        client.scatter(array, workers=[place])
        for array, place in zip(arrays, places, strict=True)
    ]
    small_held = client.scatter(arrays[1][:1000].astype(float), workers=[places[1]])

    def use_case_2() -> dict[str, float]:
        began = time.perf_counter()
        parts = [
            client.submit(real2bin, rows, workers=[place], pure=False)
            for rows, place in zip(held, places, strict=True)
        ]
        total = client.submit(added, *parts, workers=[places[0]], pure=False)
        total.exception()  # Waits until it is there, and fetches nothing.
        return {"operations": 1, "seconds": time.perf_counter() - began}

    def small(count: int) -> dict[str, float]:
        """One after the other."""
        began = time.perf_counter()
        for _ in range(count):
            client.submit(mean, small_held, workers=[places[1]], pure=False).result()
        return {"operations": count, "seconds": time.perf_counter() - began}

    def many(count: int) -> dict[str, float]:
        """All asked at once."""
        began = time.perf_counter()
        client.gather(
            [
                client.submit(mean, small_held, workers=[places[1]], pure=False)
                for _ in range(count)
            ]
        )
        return {"operations": count, "seconds": time.perf_counter() - began}

    obey({"use_case_2": use_case_2, "small": small, "many": many})


if __name__ == "__main__":
    main()
