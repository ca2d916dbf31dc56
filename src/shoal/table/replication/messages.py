"""What peers tell each other about the table.

*Under* a ballot: only if the unit is promised to that very ballot, else `Refused`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from shoal.core.wire import COUNT, WORD
from shoal.table.messages import (
    MAX_KEY_BYTES,
    UNITS,
    Ballot,
    Group,
    View,
    Voter,
)

# Of each unit so many sums are compared, so that little is listed where little differs.
PARTS = 64

Count = Annotated[int, COUNT]
Unit = Annotated[int, Meta(ge=0, lt=UNITS)]
Units = Annotated[list[Unit], Meta(max_length=UNITS)]
Name = Annotated[Voter, WORD]
Key = Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]

# Owning


class Prepare(Struct, frozen=True, array_like=True, tag=1):
    """Please promise me these units."""

    ballot: Ballot
    units: Units


class Granted(Struct, frozen=True, array_like=True, tag=2):
    """Promised: what was promised before, and which of them are sealed in this view."""

    ballot: Ballot
    before: list[tuple[Ballot | None, Units]]
    sealed: Units


class Refused(Struct, frozen=True, array_like=True, tag=3):
    """These are promised to a higher ballot."""

    ballot: Ballot
    promised: Ballot
    units: Units


class Unpromised(Struct, frozen=True, array_like=True, tag=4):
    """These are not promised to you yet: ask."""

    ballot: Ballot
    units: Units


class Owning(Struct, frozen=True, array_like=True, tag=5):
    """I answer for these."""

    ballot: Ballot
    units: Units


class Yielded(Struct, frozen=True, array_like=True, tag=6):
    """I do so no more: they are whole, and you are the first to own them."""

    ballot: Ballot
    units: Units


# Using


class Share(Struct, frozen=True, array_like=True):
    """Under that ballot: units that were read or changed, and the changes."""

    ballot: Ballot
    units: Units
    groups: list[Group]


class Accept(Struct, frozen=True, array_like=True, tag=10):
    """Please keep these changes, and say that all these units are still mine.

    Rounds are numbered anew at each start of a peer.
    """

    start: Count
    round: Count
    shares: list[Share]


class Accepted(Struct, frozen=True, array_like=True, tag=11):
    """Kept; and all units were promised to you when this was asked."""

    start: Count
    round: Count


# Levelling


class Compare(Struct, frozen=True, array_like=True, tag=20):
    """Under that ballot: I hold this of these parts. What is different there?"""

    number: Count
    ballot: Ballot
    unit: Unit
    parts: Annotated[list[Annotated[int, Meta(ge=0, lt=PARTS)]], Meta(max_length=PARTS)]
    sums: Annotated[list[Count], Meta(max_length=PARTS)]


class Listing(Struct, frozen=True, array_like=True, tag=21):
    """Versions of all keys of parts that differ; the rest must be asked for again.

    A row is a key, the number of its ballot among `ballots`, and its sequence.
    """

    number: Count
    ballot: Ballot
    unit: Unit
    listed: list[int]
    rest: list[int]
    ballots: list[Ballot]
    rows: list[tuple[Key, int, int]]


class Fetch(Struct, frozen=True, array_like=True, tag=22):
    """Under that ballot: what do these keys have?"""

    number: Count
    ballot: Ballot
    unit: Unit
    keys: list[Key]


class Fetched(Struct, frozen=True, array_like=True, tag=23):
    """This, for so many of them."""

    number: Count
    ballot: Ballot
    unit: Unit
    answered: Count
    groups: list[Group]


class Hold(Struct, frozen=True, array_like=True, tag=24):
    """Under that ballot: keep these copies of what others may have decided before."""

    number: Count
    ballot: Ballot
    unit: Unit
    groups: list[Group]


class Held(Struct, frozen=True, array_like=True, tag=25):
    """Kept, or what is newer."""

    number: Count
    ballot: Ballot
    unit: Unit


class Seal(Struct, frozen=True, array_like=True, tag=26):
    """Under that ballot: these have moved, and old replicas count no more."""

    ballot: Ballot
    units: Units


class Sealed(Struct, frozen=True, array_like=True, tag=27):
    """Written down."""

    ballot: Ballot
    units: Units


class Purge(Struct, frozen=True, array_like=True, tag=28):
    """Under that ballot: forget these deletions, which all replicas hold."""

    ballot: Ballot
    unit: Unit
    groups: list[Group]


# The view


class Enrol(Struct, frozen=True, array_like=True, tag=30):
    """I should like to be a member, on that machine; I know views up to that one."""

    host: str
    number: Count


class AskViews(Struct, frozen=True, array_like=True, tag=31):
    """Which views come after that one?"""

    number: Count


class Views(Struct, frozen=True, array_like=True, tag=32):
    """These were decided, in order."""

    views: list[View]


class AskMoved(Struct, frozen=True, array_like=True, tag=33):
    """Which units of that view do you know to be sealed?"""

    number: Count


class Moved(Struct, frozen=True, array_like=True, tag=34):
    """These are sealed in that view, by one of their new replicas at least.

    `over`: by enough of them, so that old replicas count no more and may forget.
    """

    number: Count
    units: Units
    over: bool = False


class Canvass(Struct, frozen=True, array_like=True, tag=35):
    """Will you vote on that view with me?"""

    number: Count
    ballot: Ballot


class Pledged(Struct, frozen=True, array_like=True, tag=36):
    """Yes; this is what I have accepted for it, if anything."""

    number: Count
    ballot: Ballot
    accepted: Ballot | None
    view: View | None


class Motion(Struct, frozen=True, array_like=True, tag=37):
    """Shall this be the view?"""

    ballot: Ballot
    view: View


class Aye(Struct, frozen=True, array_like=True, tag=38):
    """As far as I am concerned."""

    number: Count
    ballot: Ballot


class Nay(Struct, frozen=True, array_like=True, tag=39):
    """I vote with a higher ballot already."""

    number: Count
    promised: Ballot


Message = (
    Prepare
    | Granted
    | Refused
    | Unpromised
    | Owning
    | Yielded
    | Accept
    | Accepted
    | Compare
    | Listing
    | Fetch
    | Fetched
    | Hold
    | Held
    | Seal
    | Sealed
    | Purge
    | Enrol
    | AskViews
    | Views
    | AskMoved
    | Moved
    | Canvass
    | Pledged
    | Motion
    | Aye
    | Nay
)


class Said(Struct, frozen=True, array_like=True):
    """A message, and which voter speaks: a peer that has lost its log is another."""

    voter: Name
    message: Message


def number_of(message: Message) -> int | None:
    """The view that a message belongs to, if it must be ours."""
    match message:
        case Accept(_, _, shares):
            return shares[0].ballot.view if shares else None
        case Canvass(number) | Pledged(number) | Aye(number):
            return number - 1
        case Motion(ballot):
            return ballot.view - 1
        case Accepted() | Nay() | Moved() | AskMoved():
            return None
        case Enrol() | AskViews() | Views():
            return None
        case _:
            return message.ballot.view
