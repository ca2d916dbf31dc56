"""Who keeps copies of what, and how many of them decide.

A majority of a circle decides. Of an even one, half is a majority if the eldest is
among it: any two such halves have the eldest in common, and of two peers the elder
needs nobody.
"""

from collections.abc import Container

from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.core.ring import place
from shoal.table.messages import ERA, UNITS, Member, Recovery, View, Voter

# Of which a view tells: nobody reads more, and it stays small.
MAX_RECOVERIES = 16


class Circle:
    """The replicas of a unit, the strongest claim first. One object for each set."""

    __slots__ = ("elder", "voters")

    def __init__(self, voters: tuple[Voter, ...], elder: Voter) -> None:
        self.voters = voters
        self.elder = elder

    def decided(self, by: Container[Voter]) -> bool:
        """Are these enough?"""
        count = sum(voter in by for voter in self.voters)
        half = 2 * count == len(self.voters)
        return 2 * count > len(self.voters) or (half and self.elder in by)

    def whole(self, by: Container[Voter]) -> bool:
        """Are these all?"""
        return all(voter in by for voter in self.voters)


class Circles:
    """A view, and what follows from it: the same at every peer."""

    def __init__(self, view: View, units: int = UNITS) -> None:
        self.view = view
        self.members = tuple(member.voter for member in view.members)
        self.all = Circle(self.members, self.members[0])
        seniority = {voter: n for n, voter in enumerate(self.members)}
        known: dict[tuple[PeerId, ...], Circle] = {}
        self.units: list[Circle] = []
        hosts = {PeerId(member.voter): member.host for member in view.members}
        for peers in place(hosts, replicas=view.replicas, units=units):
            if peers not in known:
                voters = tuple(Voter(peer) for peer in peers)
                known[peers] = Circle(voters, min(voters, key=seniority.__getitem__))
            self.units.append(known[peers])

    def moved_from(self, before: "Circles") -> list[int]:
        """The units that have other replicas than before."""
        pairs = enumerate(zip(self.units, before.units, strict=True))
        return [n for n, (new, old) in pairs if set(new.voters) != set(old.voters)]


def peer_of(voter: Voter) -> PeerId:
    """Who answers for a voter."""
    return PeerId(voter.rpartition("~")[0])


def birth_of(voter: Voter) -> int:
    """When its log was begun; nothing if nobody says so honestly."""
    birth = voter.rpartition("~")[2]
    return int(birth) if birth.isdecimal() else 0


def voter_of(peer: PeerId, birth: int) -> Voter:
    """A peer with the log that was begun then: who has lost one is somebody else."""
    return Voter(f"{peer}~{birth}")


def without(view: View, *voters: Voter) -> View:
    """The next view, if these are to go."""
    left = tuple(each for each in view.members if each.voter not in voters)
    return replace(view, number=view.number + 1, members=left)


def with_more(view: View, newcomers: list[Member]) -> View:
    """The next view, if these are to come: a peer's new life replaces the old one."""
    peers = [peer_of(each.voter) for each in newcomers]
    stay = [each for each in view.members if peer_of(each.voter) not in peers]
    return replace(view, number=view.number + 1, members=(*stay, *newcomers))


def anew(view: View, me: Member, recovery: Recovery, skipped: int) -> View:
    """The first view of a later era, so many later: ours alone."""
    number = (view.era + 1 + skipped) * ERA + 1
    recovered = (*view.recovered, recovery)[-MAX_RECOVERIES:]
    return View(number, (me,), view.replicas, recovered)
