"""From a text to a plan: which datasets it names, does it make sense, who does what."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from random import Random

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.errors import Misuse, NotFound
from shoal.flow.datasets.library import Library
from shoal.flow.datasets.publishing import refuse_incomplete
from shoal.flow.jobs import Jobs
from shoal.flow.language.expressions import Call, Constant, Dataset, Expression, Tagged
from shoal.flow.language.grammar import parse, show
from shoal.flow.messages import (
    DatasetRecord,
    JobRecord,
    Plan,
    Tags,
    User,
    Within,
)
from shoal.flow.plans.planner import Collect, plan

# A plan for more takes longer than others should wait for: about 10 ms.
MANY_PARTS = 64

Inputs = tuple[tuple[str, str, int], ...]


class Question(Struct, frozen=True):
    """What is to be computed, and how it is to be kept."""

    expression: str
    tags: Tags = ()
    user: User = ""
    within_s: Within = 0.0
    collect: Collect = "largest"


class Asked:
    """Reads what users ask."""

    def __init__(
        self,
        library: Library,
        jobs: Jobs,
        present: Callable[[], list[PeerId]],
        me: PeerId,
        rng: Random,
    ) -> None:
        self._library = library
        self._jobs = jobs
        self._present = present
        self._me = me
        self._rng = rng

    async def plan(
        self, text: str, collect: Collect, without: Collection[PeerId] = ()
    ) -> tuple[Inputs, Plan]:
        """What it reads, and how it is carried out without these peers."""
        expression = parse(text)
        records: dict[Dataset | Tagged, DatasetRecord] = {}
        numbers: dict[Dataset | Tagged, Constant] = {}
        for leaf in leaves(expression):
            found = await self._find(leaf)
            if isinstance(found, Constant):
                numbers[leaf] = found
            else:
                refuse_incomplete(found)
                records[leaf] = found
        expression = _filled(expression, numbers)
        present = {peer: 0 for peer in self._present() if peer not in without}
        given = expression, records, present, self._me
        run = partial(plan, *given, rng=self._rng, collect=collect)
        parts = sum(len(record.parts) for record in records.values())
        planned = await asyncio.to_thread(run) if parts > MANY_PARTS else run()
        inputs = [(show(leaf), r.id, r.version) for leaf, r in records.items()]
        return tuple(inputs), planned

    async def _find(self, leaf: Dataset | Tagged) -> DatasetRecord | Constant:
        if isinstance(leaf, Tagged):
            return await self._tagged(leaf.tag)
        try:
            return await self._library.find(leaf.name)
        except NotFound:
            job = self._jobs.known(leaf.name)
            if job is None:
                raise
        return await self._result(job)

    async def _tagged(self, tag: str) -> DatasetRecord | Constant:
        """The one dataset with that tag, or else what the one job came to."""
        datasets = self._library.all(tag)
        if len(datasets) == 1:
            return datasets[0]
        jobs = [job for job in self._jobs.latest(tag) if job.state == "done"]
        if not datasets and len(jobs) == 1:
            return await self._result(jobs[0])
        found = [each.name for each in datasets] or [each.id for each in jobs]
        some = ", ".join(found[:5]) or "none"
        raise NotFound(f"tag {tag}: it must be one dataset's or job's; it is: {some}")

    async def _result(self, job: JobRecord) -> DatasetRecord | Constant:
        if job.state != "done":
            why = "has failed" if job.state == "failed" else "has not ended yet"
            raise Misuse(f"job {job.id}: it {why}; see: shoal why {job.id}")
        if job.value is not None:
            return job.value
        assert job.dataset, "it is done"
        return await self._library.find(job.dataset)


def leaves(expression: Expression) -> list[Dataset | Tagged]:
    """The datasets it names, each once."""
    found: dict[Dataset | Tagged, None] = {}
    left: list[Expression] = [expression]
    while left:
        each = left.pop()
        if isinstance(each, Dataset | Tagged):
            found[each] = None
        elif isinstance(each, Call):
            left += reversed(each.arguments)
    return list(found)


def _filled(
    expression: Expression, numbers: dict[Dataset | Tagged, Constant]
) -> Expression:
    """The same, with what jobs came to in their places."""
    if isinstance(expression, Dataset | Tagged):
        return numbers.get(expression, expression)
    if isinstance(expression, Call):
        arguments = tuple(_filled(each, numbers) for each in expression.arguments)
        return Call(expression.operation, arguments)
    return expression
