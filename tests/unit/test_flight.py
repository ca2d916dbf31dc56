"""Requests under way: one outcome each, by the deadline, whatever happens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from shoal.core.flight import (
    CREDIT,
    MAX_WAITING,
    Answered,
    Broken,
    Declined,
    Expired,
    Flights,
    Refusal,
    Reply,
    Request,
)
from shoal.core.machine import Emit, PeerId, Send

B = PeerId("b")
BODY = Raw(b"\xc0")


def sent(effects: list[Any]) -> list[Request]:
    return [each.message for each in effects if isinstance(each, Send)]


def facts(effects: list[Any]) -> list[Any]:
    return [each.fact for each in effects if isinstance(each, Emit)]


def ask(flights: Flights[str], waiter: str, now: float = 0, **named: float) -> Any:
    within = named.pop("within_s", 10)
    return flights.ask(waiter, B, "t", BODY, now=now, within_s=within, **named)


def test_a_request_departs_when_there_is_a_way_and_its_answer_comes_back() -> None:
    flights: Flights[str] = Flights()
    assert ask(flights, "w") == []
    [request] = sent(flights.opened(B, 1))
    assert request.within_ms == 9000  # What is left of ten seconds.
    answer = Reply(request.number, BODY)
    assert facts(flights.receive(B, answer, 2)) == [Answered("w", BODY)]
    assert flights.receive(B, answer, 2) == []  # Once.


def test_only_who_was_asked_can_answer() -> None:
    flights: Flights[str] = Flights()
    flights.opened(B, 0)
    [request] = sent(ask(flights, "w"))
    assert flights.receive(PeerId("c"), Reply(request.number, BODY), 1) == []
    assert flights.receive(B, Reply(request.number + 1, BODY), 1) == []
    refusal = Refusal(request.number, "Overloaded", "full")
    assert facts(flights.receive(B, refusal, 1)) == [
        Declined("w", "Overloaded", "full")
    ]


def test_what_is_overdue_ends_and_says_whether_it_was_sent() -> None:
    flights: Flights[str] = Flights()
    ask(flights, "unsent", within_s=3)
    assert flights.deadline == 3
    assert facts(flights.wake(3)) == [Expired("unsent", B, sent=False)]
    flights.opened(B, 3)
    ask(flights, "sent", now=3, within_s=3)
    assert facts(flights.wake(6)) == [Expired("sent", B, sent=True)]


def test_beyond_its_credit_requests_wait_in_order_and_then_are_refused() -> None:
    flights: Flights[str] = Flights()
    flights.opened(B, 0)
    departed = [sent(ask(flights, str(n))) for n in range(CREDIT + 2)]
    assert [len(each) for each in departed[-3:]] == [1, 0, 0]
    first = departed[0][0]
    [late] = sent(flights.receive(B, Reply(first.number, BODY), 1))
    assert late.number == CREDIT + 1
    for n in range(MAX_WAITING - 1):
        ask(flights, f"more {n}")
    [fact] = facts(ask(flights, "one too many"))
    assert isinstance(fact, Declined)
    assert fact.kind == "Overloaded"


def test_a_broken_link_ends_what_was_sent_and_repeats_what_may_be() -> None:
    flights: Flights[str] = Flights()
    flights.opened(B, 0)
    ask(flights, "once")
    [request] = sent(ask(flights, "again", repeat_s=1))
    assert facts(flights.lost(B, 0.5)) == [Broken("once", B, sent=True)]
    [repeated] = sent(flights.wake(1))
    assert repeated.number == request.number
    assert repeated.within_ms == 9000


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.floats(0.1, 9), st.sampled_from([0.0, 0.5])),
        st.tuples(st.just("answer"), st.integers(0, 9), st.booleans()),
        st.sampled_from([("open",), ("lose",), ("wait",)]),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(steps)
def test_every_request_has_exactly_one_outcome(steps: list[Any]) -> None:
    flights: Flights[int] = Flights()
    now, asked = 0.0, 0
    outcomes: list[int] = []
    arrived: list[Request] = []

    def note(effects: list[Any]) -> None:
        arrived.extend(sent(effects))
        outcomes.extend(fact.waiter for fact in facts(effects))

    for step in steps:
        now += 0.1
        match step:
            case ("ask", within, repeat):
                repeat_s = repeat or float("inf")
                named = {"now": now, "within_s": within, "repeat_s": repeat_s}
                note(flights.ask(asked, B, "t", BODY, **named))
                asked += 1
            case ("answer", which, done) if arrived:
                number = arrived[which % len(arrived)].number
                reply = Reply(number, BODY) if done else Refusal(number, "Refused", "")
                note(flights.receive(B, reply, now))
            case ("open",):
                note(flights.opened(B, now))
            case ("lose",):
                note(flights.lost(B, now))
            case ("wait",):
                now += 1
                note(flights.wake(now))
    note(flights.wake(now + 100))
    assert sorted(outcomes) == list(range(asked))
    assert len(flights) == 0
