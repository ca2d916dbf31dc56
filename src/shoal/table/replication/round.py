"""One round: batches that others are asked to keep, and who has answered."""

from dataclasses import dataclass, field

from shoal.table.batches import Batch
from shoal.table.messages import UNIT_BITS, Group, Record, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding, Kind

# Asked again after so long: a link that broke has lost it.
RESEND_S = 0.3
LONGEST_RESEND_S = 2.0


@dataclass(slots=True)
class Pace:
    """How rounds have gone since the start."""

    rounds: int = 0  # That came to be safe,
    seconds: float = 0.0  # and how long that took, in all.
    unknown: int = 0  # Batches whose outcome nobody could be told.


@dataclass(slots=True, eq=False)
class Round:
    """Batches that others are asked to keep."""

    ticket: int  # The last of its batches.
    batches: list[Batch]
    needs: dict[Kind, dict[int, Holding]]
    # Batches before it that must be safe: by the units that both touch, or those that
    # what it was to do was passed on to, which are waited for in any case.
    after: dict[int, dict[int, None] | None]
    began: float
    resend_at: float
    rest_s: float = RESEND_S
    acked: dict[Voter, None] = field(default_factory=dict)
    few: list[Voter] = field(default_factory=list)  # Asked first, if not all were.
    decided: bool = False
    trimmed: bool = False  # It is about less than it was.
    passed_on: dict[int, None] = field(default_factory=dict)  # To a later batch.

    @property
    def changes(self) -> bool:
        """Does it do more than read?"""
        return any(each.items for each in self.batches)

    @property
    def kept(self) -> bool:
        """Has our own disk kept it?"""
        return all(each.kept for each in self.batches if each.items)

    @property
    def own(self) -> list[Group]:
        """Changes that others are to keep."""
        return [group for each in self.batches for group in each.own]

    def silent(self, me: Voter) -> list[Voter]:
        """All others who have not answered."""
        voters: dict[Voter, None] = {}
        for old, new in self.needs:
            voters |= dict.fromkeys((*new.voters, *(old.voters if old else ())))
        voters.pop(me, None)
        return [voter for voter in voters if voter not in self.acked]

    def rest(self, now: float, patience_s: float) -> None:
        """It is asked again later, each time; and when its clients' patience ends."""
        self.rest_s = min(2 * self.rest_s, LONGEST_RESEND_S)
        self.resend_at, ends = now + self.rest_s, self.began + patience_s
        if now < ends:
            self.resend_at = min(self.resend_at, ends)

    def drop(self, unit: int) -> Holding | None:
        """It is about that unit no more; under which tenure it was, if so."""
        for kind, units in list(self.needs.items()):
            if holding := units.pop(unit, None):
                self.trimmed = True
                if not units:
                    del self.needs[kind]
                return holding
        return None

    def pass_on(self, unit: int, ticket: int) -> None:
        """What it was to do about that unit, another batch does: it has dropped it.

        So have all before it. Those that touch nothing else of it are not waited for.
        """
        self.passed_on[unit] = None
        self.part(unit)
        self.after[ticket] = None

    def part(self, unit: int) -> None:
        """It comes after no other by that unit any more."""
        for earlier, units in list(self.after.items()):
            if units is not None:
                units.pop(unit, None)
                if not units:
                    del self.after[earlier]

    def shares(self, kinds: tuple[Kind, ...]) -> list[say.Share]:
        """What those are asked who keep units of these kinds."""
        shares: dict[int, say.Share] = {}
        of_unit: dict[int, say.Share] = {}
        for kind in kinds:
            for unit, holding in self.needs[kind].items():
                ballot = holding.ballot
                share = shares.get(id(ballot))
                if share is None:
                    share = shares[id(ballot)] = say.Share(ballot, [], [])
                share.units.append(unit)
                of_unit[unit] = share
        whole = not self.trimmed and len(kinds) == len(self.needs)
        for group in self.own:
            if whole and (share := shares.get(id(group.ballot))):
                share.groups.append(group)
            else:
                _divide(group, of_unit)
        return list(shares.values())


def asks(kind: Kind, voter: Voter) -> bool:
    """Is that one asked about units of this kind?"""
    old, new = kind
    return voter in new.voters or bool(old and voter in old.voters)


def _divide(group: Group, of_unit: dict[int, say.Share]) -> None:
    """Give each share the records of its units."""
    records: dict[int, list[Record]] = {}
    for record in group.records:
        if share := of_unit.get(record[0] >> UNIT_BITS):
            records.setdefault(id(share), []).append(record)
    for share in {id(each): each for each in of_unit.values()}.values():
        if inside := records.get(id(share)):
            share.groups.append(Group(group.ballot, inside))
