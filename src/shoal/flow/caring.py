"""Jobs on their way to whoever drives them, and those that have lost their driver.

Whoever was asked cares, or the first of those who are left; who should drive a job and
was never told so finds it in the records. Two may care at once: a record is swapped by
one of them only.
"""

import asyncio
import logging
from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.errors import Conflict, NoSpace, Overloaded, ShoalError, Unknown
from shoal.flow.driving import Driver, Wires
from shoal.flow.ending import Ends, failed, stored
from shoal.flow.jobs import ENDED, KIND, Jobs
from shoal.flow.messages import JobRecord
from shoal.flow.plans.asking import Asked
from shoal.flow.records import Records

log = logging.getLogger(__name__)

DRIVE = "flow-drive"

# A peer that does not take a job over by then is asked no more.
HAND_OVER_S = 10.0
DRIVERS = 3  # So many are tried.

# How often jobs are looked for that nobody drives: longer than one is handed over.
LOOK_AFTER_S = 5.0

_encode = msgspec.msgpack.Encoder().encode


class Caring:
    """Finds somebody to drive each job that has not ended."""

    def __init__(
        self,
        me: PeerId,
        jobs: Jobs,
        driver: Driver,
        asked: Asked,
        ends: Ends,
        records: Records,
        network: Wires,
        *,
        look_after_s: float = LOOK_AFTER_S,
    ) -> None:
        self._me = me
        self._jobs = jobs
        self._driver = driver
        self._asked = asked
        self._ends = ends
        self._records = records
        self._network = network
        self._look_after_s = look_after_s
        self._under_way: dict[str, None] = {}  # Jobs that are about to be driven.

    # Handing over

    async def planned(
        self, job: JobRecord, without: Collection[PeerId] = ()
    ) -> JobRecord:
        """With the plan that those who are here now can carry out, but for some."""
        inputs, plan = await self._asked.plan(job.expression, job.collect, without)
        return replace(job, inputs=inputs, plan=plan, driver=plan.collector)

    async def hand_over(self, job: JobRecord, version: int) -> None:
        """Let it be driven; it ends here if nobody would."""
        self._under_way[job.id] = None
        try:
            await self._find_driver(job, version)
        finally:
            self._under_way.pop(job.id, None)

    async def _find_driver(self, job: JobRecord, version: int) -> None:
        """Let its driver take it; if it cannot, plan once more without it."""
        silent: list[PeerId] = []  # They may be dead, and nobody has noticed yet.
        for _ in range(DRIVERS):
            driver = job.driver
            assert driver, "it is planned"
            if driver == self._me:
                self._driver.take(job, version)
                return
            body = _encode((job, version))
            try:
                await self._network.ask(driver, DRIVE, body, within_s=HAND_OVER_S)
                return
            except Unknown as error:
                log.warning("job %s may not be driven by %s: %s", job.id, driver, error)
                if driver in self._network.present():
                    return  # If it lives it finds the job itself, else it is lost soon.
            except ShoalError as error:
                log.warning("job %s is not driven by %s: %s", job.id, driver, error)
            silent.append(driver)
            try:
                job = await self.planned(job, silent)
                version = await self._records.swap(KIND, job.id, version, stored(job))
            except (Conflict, Unknown, Overloaded, NoSpace):
                return  # Another has taken care of it, or it is looked at again.
            except ShoalError as error:
                await self._ends.write(failed(job, str(error)), version)
                return
        await self._ends.write(failed(job, "no peer takes it; run it again"), version)

    # Jobs that nobody drives

    def orphans(self) -> list[JobRecord]:
        """Those that lost their driver, and are ours to care for."""
        present = self._network.present()
        found = []
        for job in self._jobs.open():
            lost = job.driver is not None and job.driver not in present
            if lost and job.id not in self._under_way and self._cares_for(job, present):
                found.append(job)
        return found

    def _cares_for(self, job: JobRecord, present: list[PeerId]) -> bool:
        """One of us does: who was asked, or the first of those who are left."""
        return self._me == (job.asked if job.asked in present else min(present))

    def _idle(self) -> list[JobRecord]:
        """Those that we should drive, and do not."""
        return [
            job
            for job in self._jobs.open(self._me)
            if job.id not in self._under_way and not self._driver.drives(job.id)
        ]

    async def look_after(self) -> None:
        """Whoever should have handed a job over to us may have died before."""
        idle: list[JobRecord] = []
        while True:
            await asyncio.sleep(self._look_after_s)
            before, idle = idle, self._idle()
            lasting = [job for job in idle if any(job is each for each in before)]
            await asyncio.gather(*map(self.take_over, [*lasting, *self.orphans()]))

    async def take_over(self, job: JobRecord) -> None:
        """Begin a job again with those who are left."""
        if job.id in self._under_way or job.driver is None:
            return
        self._under_way[job.id] = None
        try:
            await self._begin_again(job.id, job.driver)
        finally:
            self._under_way.pop(job.id, None)

    async def _begin_again(self, name: str, lost: PeerId) -> None:
        try:
            job, version = await self._jobs.read(name)
            if job.driver != lost or job.state in ENDED:
                return
            job = await self.planned(job, [lost] if lost != self._me else [])
            version = await self._records.swap(KIND, name, version, stored(job))
        except (Conflict, Unknown, Overloaded, NoSpace) as error:
            log.warning("job %s is looked at again: %s", name, error)
            return
        except ShoalError as error:
            await self.give_up(name, lost, f"its driver, {lost}, was lost; {error}")
            return
        await self.hand_over(job, version)

    async def give_up(self, name: str, driver: PeerId, reason: str) -> None:
        """It fails, unless another drives it by now."""
        try:
            job, version = await self._jobs.read(name)
        except ShoalError as error:
            log.warning("job %s cannot be given up: %s", name, error)
            return
        if job.state not in ENDED and job.driver == driver:
            await self._ends.write(failed(job, reason), version)
