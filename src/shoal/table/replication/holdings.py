"""Units that we own, or are about to: who must agree, and how far it has come.

asking     replicas are asked to promise it to us
resealing  one has told of a seal: it is written down again, before anything is served
learning   it is ours, and we find out what was decided before
open       it is served
yielding   it is served no more, and given to the first of its replicas
"""

from dataclasses import dataclass, field
from typing import Literal

from shoal.table.messages import Ballot, Voter
from shoal.table.replication.views import Circle

State = Literal["asking", "resealing", "learning", "open", "yielding"]

# Who must agree: a majority of the new replicas, and of the old ones, if any count.
Kind = tuple[Circle | None, Circle]


@dataclass(slots=True, eq=False)
class Holding:
    """A unit of ours, under one ballot."""

    unit: int
    ballot: Ballot
    old: Circle | None
    new: Circle
    former: "Holding | None" = None  # Our tenure before this one, if it was open.
    state: State = "asking"
    granted: dict[Voter, Ballot | None] = field(default_factory=dict)
    seal_told: bool = False
    seals: dict[Voter, None] = field(default_factory=dict)
    # Replicas that hold all that we do, as far as we know.
    level: dict[Voter, None] = field(default_factory=dict)
    level_again: bool = False  # What is known of them is not enough.
    asked_at: float = 0.0
    since: float = 0.0  # Open since then.

    @property
    def kind(self) -> Kind:
        """Who must agree."""
        return self.old, self.new

    @property
    def voters(self) -> list[Voter]:
        """Everybody who is asked."""
        old = self.old.voters if self.old else ()
        return list(dict.fromkeys([*self.new.voters, *old]))

    @property
    def learned_from(self) -> Circle:
        """Those of whom a majority holds all that was ever decided."""
        return self.old or self.new

    @property
    def serving(self) -> bool:
        """Do we answer for it?"""
        return self.state == "open"

    @property
    def sealing(self) -> bool:
        """Is it to be written down that it has moved?"""
        moved = self.state == "open" and self.new.decided(self.level)
        return self.old is not None and (moved or self.state == "resealing")

    @property
    def whole(self) -> bool:
        """Does every replica hold everything, and nobody else count?"""
        return self.old is None and self.new.whole(self.level)

    def undisturbed(self) -> bool:
        """Has nobody come between our former tenure and this one?"""
        former = self.former
        if former is None:
            return False
        same = [v for v, before in self.granted.items() if before == former.ballot]
        return decided(former.kind, same)


def decided(kind: Kind, by: "dict[Voter, None] | list[Voter]") -> bool:
    """Are these enough of all who must agree?"""
    old, new = kind
    return new.decided(by) and (old is None or old.decided(by))
