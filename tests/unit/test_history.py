"""How histories are written down."""

import math

import pytest

from shoal.errors import Misuse
from shoal.sim.checker import Violation, check
from shoal.sim.history import History, Operation, Outcome
from shoal.sim.models import Delete, Read, Register, RegisterAsked, Swap, Write


def test_a_history_keeps_the_order_of_what_is_noted_at_one_instant() -> None:
    history: History[RegisterAsked] = History()
    first = history.call("a", "key", Write(1), now=5.0)
    history.answer(first, None, now=5.0)
    second = history.call("b", "key", Read(), now=5.0)
    history.answer(second, None, now=5.0)
    verdict = check(history.operations, Register())
    assert isinstance(verdict, Violation)
    assert verdict.culprit == history.operations[second]


def test_what_was_never_answered_is_unknown() -> None:
    history: History[RegisterAsked] = History()
    history.call("a", "key", Swap(None, 1), now=0.0)
    told = history.call("a", "key", Delete(), now=1.0)
    history.answer(told, Outcome.UNKNOWN, now=2.0)
    assert [each.unknown for each in history.operations] == [True, True]


def test_an_operation_is_answered_once() -> None:
    history: History[RegisterAsked] = History()
    number = history.call("a", "key", Read(), now=0.0)
    history.answer(number, 1, now=1.0)
    with pytest.raises(Misuse, match="answered twice"):
        history.answer(number, 2, now=2.0)


def test_no_operation_returns_before_it_is_called() -> None:
    with pytest.raises(Misuse, match="before it was called"):
        Operation(client="a", key="key", asked=Read(), called=2.0, returned=1.0)
    with pytest.raises(Misuse, match="before it was called"):
        Operation(client="a", key="key", asked=Read(), called=math.nan)
