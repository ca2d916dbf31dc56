"""Ray as its manual says: an actor for each place where data lies, asked by handles.

Run by the interpreter it is installed for: `python -m bench.rivals.ray_actors A B`,
where the two are files of numbers.
"""

import logging
import sys
import time
from typing import Any

import numpy as np
import ray  # type: ignore[import-not-found]

from bench.comparison import obey


@ray.remote(num_cpus=0)
class Holder:
    """A place with one array."""

    def __init__(self, path: str) -> None:
        self._rows = np.load(path)
        self._small = self._rows[:1000].astype(float)

    def real2bin(self) -> Any:
        """Of all rows."""
        return _real2bin(self._rows)

    def with_others(self, others: Any) -> int:
        """Our own and another's, added here, where the result stays."""
        self._result = _real2bin(self._rows) + others
        return int(self._result.size)

    def small(self) -> float:
        """The mean of a thousand numbers."""
        return float(self._small.mean())


def _real2bin(rows: Any) -> Any:
    return (np.floor(rows) % 2).astype(np.uint8)


def main() -> None:
    """Do what is asked, until nobody asks."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
    place: Any = Holder
    first, second = (place.remote(path) for path in sys.argv[1:])

    def use_case_2() -> dict[str, float]:
        began = time.perf_counter()
        ray.get(first.with_others.remote(second.real2bin.remote()))
        return {"operations": 1, "seconds": time.perf_counter() - began}

    def small(count: int) -> dict[str, float]:
        """One after the other."""
        began = time.perf_counter()
        for _ in range(count):
            ray.get(second.small.remote())
        return {"operations": count, "seconds": time.perf_counter() - began}

    def many(count: int) -> dict[str, float]:
        """All asked at once."""
        began = time.perf_counter()
        ray.get([second.small.remote() for _ in range(count)])
        return {"operations": count, "seconds": time.perf_counter() - began}

    obey({"use_case_2": use_case_2, "small": small, "many": many})


if __name__ == "__main__":
    main()
