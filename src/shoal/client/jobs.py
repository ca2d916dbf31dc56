"""Jobs and datasets to a program outside the network."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shoal.client.handles import (
    DatasetHandle,
    Handle,
    Number,
    NumberHandle,
    named,
    written,
)
from shoal.client.pages import Pages
from shoal.errors import JobFailed, Misuse, Unanswered

if TYPE_CHECKING:
    import numpy as np

ENDED = ("done", "failed")

# A peer lets us wait for so long at a time.
WAIT_S = 20.0

_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Flow:
    """What can be asked of the datasets of a network."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    # Datasets

    def datasets(self, tag: str = "") -> list[dict[str, Any]]:
        """Every dataset, or those with a tag."""
        query = f"?tag={quote(tag, safe='')}" if tag else ""
        found: list[dict[str, Any]] = self._pages.get(f"/api/datasets{query}")
        return found

    def dataset(self, name: str) -> dict[str, Any]:
        """One of them."""
        found: dict[str, Any] = self._pages.get(f"/api/datasets/{quote(name, safe='')}")
        return found

    def add(self, path: str, **wishes: object) -> dict[str, Any]:
        """Publish a file or a folder of the peer's machine."""
        whole = os.path.abspath(os.path.expanduser(path))  # Where we are, it is not.
        wish = {"path": whole, **wishes}
        record: dict[str, Any] = self._pages.post("/api/datasets", wish)
        return record

    def fetch(self, name: str, to: str) -> int:
        """Save a dataset as one .npy file, or go on with that; its size."""
        from shoal.client.fetching import fetch

        return fetch(self._pages, name, Path(to))

    def array(self, name: str) -> "np.ndarray[Any, Any]":
        """All rows of a dataset, here."""
        from shoal.client.fetching import array

        return array(self._pages, name)

    # Expressions

    def call(self, operation: str, *arguments: object) -> Handle:
        """An operation on datasets, numbers and expressions."""
        if not operation.isidentifier():
            raise Misuse(
                f"operation {operation!r}: it is no name; see net.operations()"
            )
        inner = ", ".join(written(each) for each in arguments)
        return Handle(self, f"{operation}({inner})")

    def operations(self) -> list[dict[str, Any]]:
        """What can be computed."""
        found: list[dict[str, Any]] = self._pages.get("/api/operations")
        return found

    # Jobs

    def run(
        self,
        expression: "str | Handle",
        *,
        tags: Iterable[str] = (),
        user: str = "",
        within_s: float = 0.0,
        collect: str = "largest",
    ) -> "Job":
        """Begin to compute; returns at once."""
        question = asked(expression, tags, user, within_s, collect)
        return Job(self, self._pages.post("/api/run", question))

    def run_many(
        self, expressions: "Iterable[str | Handle]", *, tags: Iterable[str] = ()
    ) -> list["Job"]:
        """Begin to compute all of these; at most a thousand."""
        questions = [asked(each, tags) for each in expressions]
        return [Job(self, each) for each in self._pages.post("/api/run", questions)]

    def explain(self, expression: "str | Handle") -> dict[str, Any]:
        """How it would be carried out."""
        plan: dict[str, Any] = self._pages.post("/api/explain", asked(expression))
        return plan

    def job(self, id: str) -> "Job":  # noqa: A002 - it is one.
        """A job by its id, or by how it begins."""
        return Job(self, self._pages.get(f"/api/jobs/{quote(id, safe='')}"))

    def jobs(self, tag: str = "") -> list[dict[str, Any]]:
        """Every job, or those with a tag, the latest first."""
        query = f"?tag={quote(tag, safe='')}" if tag else ""
        found: list[dict[str, Any]] = self._pages.get(f"/api/jobs{query}")
        return found

    def look(self, id: str, wait_s: float) -> dict[str, Any]:  # noqa: A002
        """A job when it has ended, or after a while."""
        wait_s = min(wait_s, self._pages.timeout_s / 2, WAIT_S)
        record: dict[str, Any] = self._pages.get(f"/api/jobs/{id}?wait_s={wait_s:g}")
        return record


class Job:
    """Something that is computed."""

    def __init__(self, flow: Flow, record: dict[str, Any]) -> None:
        self._flow = flow
        self.record = record

    @property
    def id(self) -> str:
        """By which any peer knows it."""
        return str(self.record["id"])

    @property
    def state(self) -> str:
        """As it was when we last looked: init, active, done or failed."""
        return str(self.record["state"])

    def __repr__(self) -> str:
        return f"<job {self.id}: {self.record['expression']} is {self.state}>"

    def look(self, wait_s: float = 0.0) -> dict[str, Any]:
        """How it is now, or when it has ended within that time."""
        self.record = self._flow.look(self.id, wait_s)
        return self.record

    def wait(
        self,
        timeout_s: float | None = None,
        watch: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Wait until it has ended; `watch` is shown how it goes."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.state not in ENDED:
            left = WAIT_S if end is None else end - time.monotonic()
            if left <= 0:
                raise Unanswered(
                    f"job {self.id}: it has not ended in {timeout_s:g} s, and goes on; "
                    f"ask later: shoal result {self.id}"
                )
            self.look(min(left, 0.2) if watch else left)
            if watch:
                watch(self.record)
        return self.record

    def result(self, timeout_s: float | None = None) -> Handle:
        """What it came to, when it has ended."""
        record = self.wait(timeout_s)
        if record["state"] == "failed":
            raise JobFailed(f"job {self.id}: {record['reason']}")
        if record["dataset"]:
            return DatasetHandle(self._flow, record["dataset"])
        return NumberHandle(self._flow, named(self.id), number(record["value"]))


def number(told: object) -> Number:
    """A number, as JSON tells it."""
    if isinstance(told, str):
        return _NUMBERS[told]
    assert isinstance(told, bool | int | float), told
    return told


def asked(
    expression: "str | Handle",
    tags: Iterable[str] = (),
    user: str = "",
    within_s: float = 0.0,
    collect: str = "largest",
) -> dict[str, Any]:
    """A question, as a peer takes it."""
    text = expression.text if isinstance(expression, Handle) else expression
    given = {"tags": list(tags), "user": user, "within_s": within_s, "collect": collect}
    return {"expression": text, **given}
