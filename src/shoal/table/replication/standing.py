"""How one peer stands in the table, and what all of them lack together.

Who owns a unit is alone in knowing which replicas hold everything of it. So nobody can
say by itself that the table is whole: all are asked, and what they say is put together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from shoal.core.machine import PeerId
from shoal.table.messages import UNITS, Recovery, Voter
from shoal.table.replication.messages import Units
from shoal.table.replication.owner import Owner
from shoal.table.replication.roll import Roll
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import peer_of

# As many as a network may have, and more than one was tried with: a guess.
MAX_MEMBERS = 1024

# Names in a sentence; whoever wants all of them asks for them.
NAMED = 3


class Standing(Struct, frozen=True):
    """What one peer says of itself."""

    me: Voter
    view: int
    members: Annotated[list[Voter], Meta(max_length=MAX_MEMBERS)]
    replicas: int
    majority: bool  # Of the members is seen.
    guest: bool
    leaving: bool
    moving: int  # Units that the view has moved, and that are not known to have.
    keys_moved: int
    held: int  # Units that we keep.
    recovered: list[Recovery]  # When the network was founded anew, and by whom.
    open: Units
    unsealed: int  # Of those: their former replicas count still.
    unwhole: int
    # Replicas that hold less than we do, as far as we know: of so many units.
    behind: Annotated[dict[Voter, int], Meta(max_length=MAX_MEMBERS)]


def standing(seat: Seat, owner: Owner, roll: Roll) -> Standing:
    """How this peer stands."""
    circles = seat.circles
    ours = [each for each in owner.holdings.values() if each.serving]
    behind: Counter[Voter] = Counter()
    for holding in ours:
        behind.update(v for v in holding.new.voters if v not in holding.level)
    return Standing(
        me=seat.me,
        view=seat.number,
        members=list(circles.members) if circles else [],
        replicas=circles.view.replicas if circles else 0,
        majority=bool(circles and circles.all.decided(seat.seen(circles.members))),
        guest=roll.guest and not roll.member,
        leaving=roll.leaving,
        moving=roll.moving,
        keys_moved=seat.keys_moved,
        held=sum(seat.me in each.voters for each in circles.units) if circles else 0,
        recovered=list(circles.view.recovered) if circles else [],
        open=[each.unit for each in ours],
        unsealed=sum(each.old is not None for each in ours),
        unwhole=sum(not each.whole for each in ours),
        behind=dict(behind),
    )


def lacking(
    told: Mapping[PeerId, Standing | None], enough: int | None = None
) -> str | None:
    """What is lacking until every replica holds everything; nothing if nothing is.

    `told`: what each peer says that is alive or in the view; nothing if it is silent.
    `enough`: so many members will do; others of the view may be away.
    """
    answers = [each for each in told.values() if each]
    number = max((each.view for each in answers), default=0)
    if not number:
        return "the table to be opened"
    return next(_troubles(told, answers, number, enough), None)


def _troubles(
    told: Mapping[PeerId, Standing | None],
    answers: list[Standing],
    number: int,
    enough: int | None,
) -> Iterator[str]:
    late = [each.me for each in answers if each.view < number]
    if late:
        yield f"{_named(late)} to come to view {number}"
    members = next(each.members for each in answers if each.view == number)
    present = {each.me for each in answers}
    away = [voter for voter in members if voter not in present]
    if away and (enough is None or len(members) - len(away) < enough):
        yield f"{_named(away)} to answer, as a member of the table should"
    if enough is not None and len(members) < enough:
        yield f"{enough} members, where there are {len(members)}"
    yield from _comings(told, answers, members, enough)
    yield from _units(answers, away)


def _comings(
    told: Mapping[PeerId, Standing | None],
    answers: list[Standing],
    members: list[Voter],
    enough: int | None,
) -> Iterator[str]:
    strangers = [each for each in answers if each.me not in members]
    coming = [e.me for e in strangers if not (e.guest or e.leaving)]
    peers = [peer_of(voter) for voter in members]
    silent = [p for p, each in told.items() if each is None and p not in peers]
    if enough is None and (coming or silent):
        names = [*coming, *(Voter(f"{peer}~") for peer in silent)]
        yield f"{_named(names)} to become a member"
    going = [each.me for each in answers if each.leaving]
    if going:
        yield f"{_named(going)} to leave"


def _units(answers: list[Standing], away: list[Voter]) -> Iterator[str]:
    opened = {unit for each in answers for unit in each.open}
    if closed := UNITS - len(opened):
        yield f"{closed} of {UNITS} units to be owned by somebody"
    if moving := sum(each.unsealed for each in answers):
        yield f"{moving} units to move"
    behind: Counter[Voter] = Counter()
    for each in answers:
        behind.update(each.behind)
    for voter, count in behind.most_common():
        if voter not in away:
            yield f"{peer_of(voter)} to get its copies of {count} units"


def _named(voters: list[Voter]) -> str:
    names = [str(peer_of(voter)) for voter in voters]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
