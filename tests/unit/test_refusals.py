"""Two who were refused by the dead speak its verdict at once, however late one is."""

from random import Random

from shoal.core.machine import Address, Emit, PeerId
from shoal.members.facts import MemberLost
from shoal.members.messages import Gossip, Incarnation, News, Profile, Reason, State
from shoal.members.protocol import Members
from shoal.members.settings import MembersSettings

LATER = 0.2  # More than half a patience, less than a doubt lasts.


def profile(name: str) -> Profile:
    return Profile(PeerId(name), Address(f"{name}:1"), "host")


def news(name: str, state: State, witness: str, reason: Reason) -> News:
    return News(profile(name), Incarnation(1), state, PeerId(witness), reason)


def test_a_second_refusal_that_comes_late_is_not_taken_for_oversleeping() -> None:
    machine = Members(
        profile("me"), [], MembersSettings(), generation=1, rng=Random(1), now=0.0
    )
    known = [
        news(name, State.ALIVE, name, Reason.ANSWERS) for name in ("dead", "b", "c")
    ]
    machine.receive(PeerId("b"), Gossip(tuple(known)), 0.0)
    machine.refused(PeerId("dead"), 0.0)
    while machine.deadline < LATER:
        machine.wake(machine.deadline)
    second = news("dead", State.SUSPECT, "b", Reason.REFUSED)
    machine.receive(PeerId("b"), Gossip((second,)), LATER)
    assert machine.deadline == LATER
    facts = [e.fact for e in machine.wake(LATER) if isinstance(e, Emit)]
    assert [f.peer for f in facts if isinstance(f, MemberLost)] == ["dead"]
    assert machine.slowness == 1
