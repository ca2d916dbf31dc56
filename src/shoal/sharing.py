"""A peer's place in the table that all share: what is told of it, how it is left."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shoal.core.machine import PeerId
from shoal.errors import Misuse, Refused
from shoal.introductions import Network
from shoal.net.home import Home
from shoal.settings import PeerSettings
from shoal.table.messages import UNIT_BITS, UNITS
from shoal.table.replication.census import Census
from shoal.table.replication.facts import (
    Departed,
    Fact,
    Overruled,
    Rerouted,
    Viewed,
)
from shoal.table.replication.owners import Owners
from shoal.table.replication.round import Pace
from shoal.table.replication.service import TOPIC, Replication
from shoal.table.replication.standing import Standing, lacking
from shoal.table.replication.views import peer_of
from shoal.table.slots import slot_of

if TYPE_CHECKING:
    from shoal.table.records.service import RecordsService

log = logging.getLogger(__name__)

# Who starts with nothing, and knows others that do not answer, founds a network after
# so long: as long as a peer takes to find those that are there.
FOUND_S = 3.0

# A network that is there says within a second how many copies it has.
AGREE_S = 5.0

# Five hundred units change hands in less than one; who waits longer gains nothing.
RETIRE_S = 2.0


# Records move as fast as the table, and are looked at so often.
RECORDS_S = 20.0
LOOK_S = 0.1


class Sharing:
    """What a peer's owner sees of the table, and does about it."""

    def __init__(
        self,
        me: PeerId,
        settings: PeerSettings,
        home: Home,
        owners: Owners,
        network: Network,
        *,
        host: str,
        records: Callable[[], "RecordsService"],
        stop: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """`stop` is called when we have left the table, and `records` with it."""
        alone = not settings.join and not home.contacts()
        self._me = me
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._replicas = settings.replicas
        self._viewed = asyncio.Event()
        self._retired = asyncio.Event()
        self._agreeing = True  # At the start: who asked for it is told then.
        self._stop = stop
        self._records = records
        self._fail = fail
        self.replication = Replication(
            *(me, owners, network),
            host=host,
            founding=alone and not settings.guest,
            guest=settings.guest,
            replicas=settings.replicas,
            grace_s=settings.grace_s,
            fail=fail,
        )
        self.replication.told = self._attend
        self._overruled = False
        self._patience = 0  # Turns of others that we waited for.
        kept = settings.storage != "memory"
        if not (alone or kept or settings.join or settings.guest):
            self._loop.call_later(FOUND_S, self._found_late)
        network.on_post(TOPIC, self.replication.posted)
        self._census = Census(me, network, self.replication.standing)

    @property
    def standing(self) -> Standing:
        """How this peer stands."""
        return self.replication.standing()

    @property
    def pace(self) -> Pace:
        """How quickly others answer for what is ours."""
        return self.replication.replica.owner.rounds.pace

    def status(self) -> dict[str, Any]:
        """The same, as `shoal status` shows it."""
        standing = self.standing
        return {
            "view": standing.view,
            "view_members": [peer_of(voter) for voter in standing.members],
            "replicas": standing.replicas,
            "majority": standing.majority,
            "units_owned": len(standing.open),
            "units_not_whole": standing.unwhole,
            "units_moving": standing.moving,
            "keys_moved": standing.keys_moved,
            **({"recovered": _told(standing)} if standing.recovered else {}),
            **({"guest": True} if standing.guest else {}),
            **({"leaving": True} if standing.leaving else {}),
        }

    def waits_for(self) -> str | None:
        """Nothing, or what is lacking before clients can be served."""
        replica = self.replication.replica
        units = range(replica.seat.units)
        known = replica.seat.views and all(map(replica.owner.route, units))
        return None if known else "the table to be opened"

    async def whole(self, enough: int | None) -> dict[str, Any]:
        """Does every replica hold everything, and if not, what is lacking?"""
        peers = [peer_of(voter) for voter in self.standing.members]
        alive = self.replication.replica.seat.alive
        told = await self._census.take([*alive, *peers])
        lacks = lacking(told, enough)
        answers = [each for each in told.values() if each]
        return {
            "replicated": lacks is None,
            "lacks": lacks,
            "view": max(each.view for each in answers),
            "units_owned": sum(len(each.open) for each in answers),
            "units_not_whole": sum(each.unwhole for each in answers),
        }

    def where(self, key: bytes) -> dict[str, Any]:
        """Who owns a key, and who has copies of it."""
        slot = slot_of(key)
        unit = slot >> UNIT_BITS
        replica = self.replication.replica
        if not replica.seat.views:
            raise Refused("table: no peer of it has answered yet; try again")
        return {
            "slot": slot,
            "unit": unit,
            "owner": replica.owner.route(unit),
            "replicas": [peer_of(voter) for voter in replica.seat.new(unit).voters],
        }

    def leave(self) -> None:
        """Hand everything over, then end."""
        standing = self.standing
        if standing.me in standing.members:
            self._check_leaving(standing)
        self.replication.leave()
        self._records().leave()

    async def retire(self) -> None:
        """Let others answer for our units before we stop, so that nobody waits."""
        self.replication.retire()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._retired.wait(), RETIRE_S)

    def recover(self, *, force: bool) -> dict[str, Any]:
        """Go on from our own copy, without those who are away; what that means."""
        standing = self.standing
        if standing.me not in standing.members:
            raise Refused(
                f"peer {self._me}: it keeps nothing of the table that could be gone on "
                "from; ask one that does"
            )
        if standing.majority:
            raise Refused(
                f"peer {self._me}: enough members of the table are there, and nothing "
                "is to be recovered; see: shoal status"
            )
        if force:
            log.warning("the network is founded anew, without those who are away")
            self.replication.refound(int(time.time()))
            self._records().refound(int(time.time()))
        seen = self.replication.replica.seat.seen(standing.members)
        return {
            "name": self._me,
            "view": self.standing.view,
            "away": [peer_of(voter) for voter in standing.members if voter not in seen],
            "units_kept": standing.held,
            "units_lost": UNITS - standing.held,
        }

    def _found_late(self) -> None:
        """With nothing on any disk, there is a network when somebody founds one.

        Those who are there take turns, by name, so that one of them does.
        """
        alive = sorted(self.replication.replica.seat.alive)
        self._patience += 1
        if self.standing.view:
            return
        if self._patience > alive.index(self._me):
            self.replication.found_late()
        else:
            self._loop.call_later(FOUND_S, self._found_late)

    def _begin_anew(self) -> None:
        log.warning(
            "the network was recovered without this peer: what it had is forgotten"
        )
        start = self._home.next_generation()
        self.replication.begin_anew(start)
        self._records().begin_anew(start)
        self._overruled = False

    def _check_leaving(self, standing: Standing) -> None:
        if len(standing.members) == 1:
            raise Refused(
                f"peer {self._me}: it is the last that keeps the table, and nobody "
                "could take it over; stop it with: shoal down"
            )
        if not standing.majority:
            raise Refused(
                f"peer {self._me}: most members of the table are not there to take "
                "over what it has; wait for them, or stop it with: shoal down"
            )

    async def agree(self) -> None:
        """Hear whether the network has as many copies as were asked for, if any were.

        If it cannot be asked yet, it is heard when it can.
        """
        if self._replicas and not self.standing.view:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._viewed.wait(), AGREE_S)
        self._agreeing = False
        if self.standing.view and (refusal := self._refusal(self.standing.replicas)):
            raise refusal

    def _refusal(self, replicas: int) -> Misuse | None:
        if self._replicas in (None, replicas):
            return None
        return Misuse(
            f"replicas {self._replicas}: this network keeps {replicas} copies of "
            f"everything, as its founder chose; leave --replicas out, or say {replicas}"
        )

    def _attend(self, fact: Fact) -> None:
        match fact:
            case Departed():
                self._end(self._loop.time() + RECORDS_S)
            case Rerouted() if not self.replication.replica.owner.holdings:
                self._retired.set()
            case Overruled() if not self._overruled:
                self._overruled = True
                self._loop.call_soon(self._begin_anew)
            case Viewed(view):
                self._viewed.set()
                refusal = self._refusal(view.replicas)
                if refusal and not self._agreeing:
                    self._fail(refusal)

    def _end(self, at_last: float) -> None:
        """We have left the table: end when the records are others' too."""
        if self._records().member and self._loop.time() < at_last:
            self._loop.call_later(LOOK_S, self._end, at_last)
        else:
            self._stop()


def _told(standing: Standing) -> list[str]:
    return [
        f"at {time.strftime('%F %T', time.localtime(each.at))} by {each.by}"
        for each in standing.recovered
    ]
