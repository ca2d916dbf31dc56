"""Who is asked what, together with which, how often, and until when."""

import pytest

from shoal.core.frames import MAX_FRAME_BYTES
from shoal.core.machine import Address, PeerId
from shoal.table.errands import MAX_ERRAND_BYTES, MAX_TOGETHER, TOGETHER_BYTES, packed
from shoal.table.fixed import FixedGroup
from shoal.table.forwarding import ANSWER_S, UNDER_WAY_BYTES, Ask, Forwarding
from shoal.table.redis.split import SPLITS
from shoal.table.routes import HERE
from shoal.table.turns import Turn, Unasked
from tests.conformance.fleet import Chart

B, C = PeerId("b"), PeerId("c")


class Desk:
    """One peer's errands, to be looked at before they go anywhere."""

    def __init__(self) -> None:
        self.chart = Chart("a", {"a": PeerId("a"), "b": B, "c": C, "k": B})
        self.machine = Forwarding(self.chart)
        self.now = 100.0

    def say(self, *commands: bytes) -> Turn:
        turn = Turn(lambda turn: self.machine.offer(turn, self.now))
        for command in commands:
            words = command.split(b" ")
            turn.ask(words[1], 2, words, changes=words[0] != b"GET")
            turn.leave(len(turn.replies))
            turn.replies.append(b"")
        turn.send(lambda: None)
        return turn

    def due(self) -> list[Ask]:
        return self.machine.due(self.now)

    def answer(self, ask: Ask, *answers: bytes | None) -> None:
        self.machine.answered(ask, list(answers), self.now)


def test_what_several_clients_say_travels_together() -> None:
    desk = Desk()
    turns = [desk.say(b"GET b1", b"GET c1") for _ in range(3)]
    asks = desk.due()
    assert [(ask.to, len(ask.errands)) for ask in asks] == [(B, 3), (C, 3)]
    for ask in asks:
        desk.answer(ask, b"1", b"2", b"3")
    assert [turn.told() for turn in turns] == [b"11", b"22", b"33"]
    assert desk.due() == []


def test_reads_do_not_wait_for_changes_of_others() -> None:
    desk = Desk()
    desk.say(b"SET b1 x")
    desk.say(b"GET b1")
    assert [len(ask.errands) for ask in desk.due()] == [1, 1]


def test_a_message_has_a_limit_and_so_has_what_is_under_way() -> None:
    desk = Desk()
    value = bytes(600_000)
    turns = [desk.say(b"SET b1 " + value) for _ in range(30)]
    asks = desk.due()
    assert all(ask.size_bytes <= TOGETHER_BYTES for ask in asks)
    under_way = sum(ask.size_bytes for ask in asks)
    assert UNDER_WAY_BYTES - 600_100 < under_way <= UNDER_WAY_BYTES
    assert desk.due() == []
    while asks:
        for ask in asks:
            desk.answer(ask, *[b"+OK\r\n"] * len(ask.errands))
        asks = desk.due()
    assert all(turn.told() == b"+OK\r\n" for turn in turns)

    desk.say(*[b"GET b1"] * MAX_TOGETHER)
    desk.say(b"GET b1")
    assert [len(ask.errands) for ask in desk.due()] == [MAX_TOGETHER, 1]


def test_the_longest_request_fits_into_a_frame() -> None:
    words = [b"SET", bytes(64 << 10), bytes(8 << 20), b"PXAT", b"9" * 20, b"KEEPTTL"]
    assert sum(map(len, words)) <= MAX_ERRAND_BYTES
    assert len(packed([(3, words)])) < MAX_FRAME_BYTES - 2048


def test_what_was_not_reached_is_asked_again_in_order() -> None:
    desk = Desk()
    turn = desk.say(b"GET b1", b"GET b2", b"GET b3")
    (ask,) = desk.due()
    desk.answer(ask, b"1")
    (ask,) = desk.due()
    assert [errand.key for errand in ask.errands] == [b"b2", b"b3"]
    desk.answer(ask, b"2", b"3")
    assert turn.told() == b"123"


def test_the_rest_of_a_turn_waits_for_its_beginning() -> None:
    """1. A long turn goes in two messages.  2. The owner has lost the key when the
    first comes, and has it again when the second would.  3. What was asked first is
    done first.
    """
    desk = Desk()
    many = [b"GET b%d" % n for n in range(MAX_TOGETHER - 1)]
    turn = desk.say(*many, b"INCR k1", b"INCR k1")
    (ask,) = desk.due()
    desk.answer(ask, *[b"x"] * (MAX_TOGETHER - 1), None)
    assert desk.due() == []
    desk.machine.wake(desk.now)
    (ask,) = desk.due()
    desk.answer(ask, b":1\r\n", b":2\r\n")
    assert turn.told().endswith(b":1\r\n:2\r\n")


def test_what_was_not_reached_is_done_before_what_follows() -> None:
    desk = Desk()
    turn = desk.say(*[b"GET b%d" % n for n in range(MAX_TOGETHER + 1)])
    (ask,) = desk.due()
    desk.answer(ask, b"0")
    (ask,) = desk.due()
    assert ask.errands[0].key == b"b1"
    desk.answer(ask, *[b"%d" % n for n in range(1, MAX_TOGETHER + 1)])
    assert turn.told() == b"".join(b"%d" % n for n in range(MAX_TOGETHER + 1))


def test_a_read_before_a_change_is_not_asked_again_after_it() -> None:
    desk = Desk()
    turn = desk.say(b"GET b1", b"SET b1 x")
    (ask,) = desk.due()
    desk.machine.lost(ask, "the way broke", desk.now)
    first, second = turn.told().splitlines()
    assert first.startswith(b"-CLUSTERDOWN NOQUORUM the way broke")
    assert second.startswith(b"-UNKNOWN the way broke")


def test_nothing_at_all_is_not_asked_for_ever() -> None:
    desk = Desk()
    turn = desk.say(b"GET b1")
    (ask,) = desk.due()
    desk.answer(ask)
    assert desk.due() == []
    desk.now += 3
    desk.machine.wake(desk.now)
    (ask,) = desk.due()
    desk.answer(ask)
    assert turn.told().startswith(b"-CLUSTERDOWN NOQUORUM peer b did nothing")


def test_a_lost_change_is_never_asked_again_and_a_read_is() -> None:
    desk = Desk()
    change, read = desk.say(b"INCR b1"), desk.say(b"GET b1")
    for ask in desk.due():
        desk.machine.lost(ask, "the way broke", desk.now)
    assert change.told().startswith(b"-UNKNOWN the way broke")
    assert read.left == 1
    desk.machine.wake(desk.now)
    (ask,) = desk.due()
    assert ask.errands[0].words == [b"GET", b"b1"]


def test_what_was_refused_may_go_elsewhere_until_patience_ends() -> None:
    desk = Desk()
    turn = desk.say(b"INCR b1")
    (ask,) = desk.due()
    desk.answer(ask, None)
    desk.chart.owners["b"] = C
    desk.now = desk.machine.deadline
    desk.machine.wake(desk.now)
    (ask,) = desk.due()
    assert ask.to == C
    desk.now += 2
    desk.machine.refused(ask, "peer c is full", desk.now)
    assert turn.told().startswith(b"-CLUSTERDOWN NOQUORUM peer c is full")


def test_what_waits_too_long_for_its_turn_is_refused() -> None:
    desk = Desk()
    desk.say(b"SET b1 " + bytes(8 << 20))
    late = desk.say(b"SET b2 " + bytes(8 << 20))
    (ask,) = desk.due()
    assert ask.within_s == ANSWER_S
    desk.now += ANSWER_S
    desk.machine.lost(ask, "no answer in time", desk.now)
    assert desk.due() == []
    assert late.told().startswith(b"-CLUSTERDOWN NOQUORUM peer b takes no more")


def test_what_has_become_ours_is_done_here() -> None:
    desk = Desk()
    desk.say(b"GET b1")
    (ask,) = desk.due()
    desk.chart.owners["b"] = PeerId("a")
    desk.answer(ask, None)
    desk.machine.wake(desk.now)
    assert [ask.to for ask in desk.due()] == [HERE]


# Turns


def test_a_refusal_here_touches_nothing_of_others_and_no_news() -> None:
    turn = Turn(lambda _: None)
    turn.ask(b"b1", 2, [b"SET", b"b1", b"x"], changes=True)
    turn.leave(1)
    turn.ask(b"b2", 2, [b"DEL", b"b2"], changes=True)
    turn.tell(b":1\r\n")
    turn.leave(3, SPLITS["DEL"].together)
    turn.replies = [b"+OK\r\n", b"", Unasked(b"news"), b"", b"", b":5\r\n"]
    turn.refuse("NOSPACE full", b"-NOSPACE full\r\n")
    turn.answer(0, b"+OK\r\n")
    turn.answer(1, b":1\r\n")
    first, second, third, fourth = turn.told().splitlines()
    assert first == fourth == b"-NOSPACE full"
    assert second == b"+OK"
    assert third == b"-UNKNOWN 1 of 2 keys are as asked, the others not: NOSPACE full"


@pytest.mark.parametrize("name", ["DEL", "MSET"])
def test_that_nothing_was_done_is_said_only_if_it_is_so(name: str) -> None:
    together = SPLITS[name].together
    down, unknown, done = b"-CLUSTERDOWN x\r\n", b"-UNKNOWN y\r\n", b":1\r\n"
    assert together([down, down]) == down
    assert together([down, unknown, done]) == unknown
    assert together([down, done]).startswith(b"-UNKNOWN 1 of 2")


# A fixed group


def test_0_3_a_fixed_group_places_keys_by_md5() -> None:
    nodes = [PeerId(f"node-{n}") for n in range(8)]
    group = FixedGroup(nodes[3], {n: Address(f"{n}:5000") for n in nodes})
    assert group.owner(b"abc") == group.owner(b"hello") == nodes[2]
    assert group.owner(b"100000") is HERE
    assert group.owner(b"199999") == nodes[1]
    assert not group.whole
