"""Who is who: the newest news of every member, and sums to compare rosters by.

Of two statements the one with the higher (incarnation, state) stands. So a living
peer answers "dead in life 4" with "alive in life 5", and no late rumour of life 4
can bring the accusation back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from shoal.core.machine import PeerId
from shoal.members.messages import PARCELS, News, State

# Remembering the dead beyond this only helps to find them again after a partition;
# seed contacts do that too. A guess: twice the living, and a few for small networks.
DEAD_PER_LIVING = 2
DEAD_AT_LEAST = 64

MAX_WITNESSES = 8

# Ten times what we are made for; more are invented.
MAX_MEMBERS = 10_000


@dataclass(slots=True)
class Member:
    """One line of the roster."""

    news: News
    since: float
    witnesses: dict[PeerId, None] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        """Believed alive, if perhaps doubted."""
        return self.news.state <= State.SUSPECT


class Roster:
    """Everybody but ourselves."""

    def __init__(self) -> None:
        self._members: dict[PeerId, Member] = {}
        self._present: dict[PeerId, Member] = {}
        self._sums = [0] * PARCELS

    @property
    def members(self) -> Iterable[Member]:
        """Everybody we remember, the dead included."""
        return self._members.values()

    @property
    def present(self) -> dict[PeerId, Member]:
        """The living, the suspected among them."""
        return self._present

    def get(self, peer: PeerId) -> Member | None:
        """What we know of a peer, if anything."""
        return self._members.get(peer)

    def merge(self, news: News, now: float) -> bool:
        """Take news over if it is newer than ours; say whether it was."""
        peer = news.profile.peer
        known = self._members.get(peer)
        if known is None and len(self._members) >= MAX_MEMBERS:
            return False
        if known is None and news.state != State.ALIVE:
            return False  # Of the dead nothing is gained; the doubted will contradict.
        if known and rank(news) <= rank(known.news):
            return False
        since = now
        if known and known.news.state == news.state == State.ALIVE:
            since = known.since  # It moved or refuted early: alive all the while.
        self._write(Member(news, since, {news.witness: None}))
        return True

    def attest(self, news: News) -> bool:
        """Count one more witness of what we believe already; say if it is a new one."""
        known = self._members.get(news.profile.peer)
        if known is None or rank(known.news) != rank(news):
            return False
        if news.witness in known.witnesses or len(known.witnesses) >= MAX_WITNESSES:
            return False  # Eight are enough to judge by, and to pass on.
        known.witnesses[news.witness] = None
        return True

    def forget(self, before: float) -> None:
        """Forget who died before then, and the longest dead if they are too many."""
        gone = sorted(
            (member.since, peer)
            for peer, member in self._members.items()
            if not member.present
        )
        room = max(DEAD_AT_LEAST, DEAD_PER_LIVING * len(self._present))
        for order, (since, peer) in enumerate(gone):
            if since < before or order < len(gone) - room:
                del self._members[peer]

    def sums(self, me: News) -> tuple[int, ...]:
        """One sum for each parcel of the living, ourselves among them."""
        sums = list(self._sums)
        sums[parcel(me.profile.peer)] ^= _print(me)
        return tuple(sums)

    def _write(self, member: Member) -> None:
        peer = member.news.profile.peer
        old = self._present.pop(peer, None)
        if old:
            self._sums[parcel(peer)] ^= _print(old.news)
        self._members[peer] = member
        if member.present:
            self._present[peer] = member
            self._sums[parcel(peer)] ^= _print(member.news)


def rank(news: News) -> tuple[int, int, State]:
    """What decides between two statements about one peer."""
    return news.incarnation.generation, news.incarnation.refutation, news.state


def parcel(peer: PeerId) -> int:
    """Which parcel of the sums a peer belongs to."""
    return crc32(peer.encode()) % PARCELS


def _print(news: News) -> int:
    life = news.incarnation
    return crc32(f"{news.profile.peer} {life.generation} {life.refutation}".encode(), 1)
