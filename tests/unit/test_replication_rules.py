"""Rules that a simulation meets too seldom to be trusted with: one scene for each."""

from random import Random

from shoal.core.machine import PeerId, Send
from shoal.table.messages import NEVER, Ballot, Group, Member, View, Voter
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.replication import messages as say
from shoal.table.replication.messages import Said
from shoal.table.replication.protocol import Effects, Replica
from shoal.table.slots import slot_of

ME, OTHER = Voter("me~1"), Voter("other~1")
KEY = b"k"
UNIT = slot_of(KEY) >> 4


def a_table() -> Table:
    return Table(Ballot(0, 0, PeerId("me"), 1), Random(1), logged=True)


def two_members(number: int) -> View:
    return View(number, (Member(OTHER, "a"), Member(ME, "b")))


def said(effects: Effects) -> list[say.Message]:
    return [each.message.message for each in effects if isinstance(each, Send)]


def keep(replica: Replica) -> Effects:
    """Its disk keeps all that was changed."""
    table = replica.seat.table
    while batch := table.take():
        table.committed(batch.ticket)
    return replica.released(table.ticket - 1, 0, 1.0)


def answers(number: int) -> list[say.Message]:
    """What a replica in view 2 says to a change made in that one, and keeps of it."""
    remains = Remains([two_members(1), two_members(2)])
    table = a_table()
    replica = Replica(PeerId("me"), 1, table, remains, host="b", rng=Random(1), now=0.0)
    ballot = Ballot(number, 5, PeerId(OTHER), 1)
    replica.found(PeerId("other"), 0.0)
    heard: list[say.Message] = []
    group = Group(ballot, [(slot_of(KEY), KEY, 1, NEVER, b"v")])
    share = say.Share(ballot, [UNIT], [group])
    for asked in (say.Prepare(ballot, [UNIT]), say.Accept(1, 9, [share])):
        heard += said(replica.receive(PeerId("other"), Said(OTHER, asked), 1.0))
        heard += said(keep(replica))
    assert bool(table.held(KEY)) == (number == 2)
    return heard


def test_who_has_adopted_a_view_serves_no_older_one() -> None:
    kinds = [type(each) for each in answers(2)]
    assert say.Granted in kinds
    assert say.Accepted in kinds
    older = answers(1)
    assert not any(isinstance(each, say.Granted | say.Accepted) for each in older)
    assert any(isinstance(each, say.Views) for each in older)


def test_a_replica_whose_disk_halts_keeps_no_more_than_its_memory_has_room_for() -> (
    None
):
    """Others go on without it, as fast as before, and it cannot tell them to stop."""
    table = a_table()
    views = Remains([two_members(1), two_members(2)])
    replica = Replica(PeerId("me"), 1, table, views, host="b", rng=Random(1), now=0.0)
    ballot = Ballot(2, 5, PeerId(OTHER), 1)

    def hear(asked: say.Message) -> list[say.Message]:
        return said(replica.receive(PeerId("other"), Said(OTHER, asked), 1.0))

    value = bytes(1 << 20)

    def change(number: int) -> say.Accept:
        group = Group(ballot, [(slot_of(KEY), KEY, number, NEVER, value)])
        return say.Accept(1, number, [say.Share(ballot, [UNIT], [group])])

    hear(say.Prepare(ballot, [UNIT]))
    for number in range(300):
        hear(change(number))
    held = table.held(KEY)
    assert held
    assert held.sequence < 260
    assert say.Accepted(1, 300) in hear(
        say.Accept(1, 300, [say.Share(ballot, [UNIT], [])])
    )
    keep(replica)
    hear(change(301))
    assert say.Accepted(1, 301) in said(keep(replica))
