"""Which keys end when, whatever was said before."""

import math

from hypothesis import given
from hypothesis import strategies as st

from shoal.table.deadlines import MIN_SWEEP, Deadlines

SETS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(1, 9)))


def test_nothing_is_due_of_nothing() -> None:
    deadlines = Deadlines(lambda *_: True)
    assert deadlines.next_ms == math.inf
    assert deadlines.take_due(10, 10) == []


@given(SETS, st.integers(0, 10), st.integers(1, 4))
def test_a_key_is_due_once_by_its_last_deadline(
    sets: list[tuple[bytes, int]], now_ms: int, limit: int
) -> None:
    last: dict[bytes, int] = {}
    deadlines = Deadlines(lambda key, deadline_ms: last.get(key) == deadline_ms)
    for key, deadline_ms in sets:
        last[key] = deadline_ms
        deadlines.add(key, deadline_ms)
    ended: list[bytes] = []
    while deadlines.next_ms <= now_ms:
        due = deadlines.take_due(now_ms, limit)
        assert len(due) <= limit
        ended += due
        for key in due:
            del last[key]
    final = dict(sets)
    assert sorted(ended) == sorted(k for k, each in final.items() if each <= now_ms)
    assert [final[key] for key in ended] == sorted(final[key] for key in ended)


def test_what_is_out_of_date_does_not_pile_up() -> None:
    last = 0
    deadlines = Deadlines(lambda _, deadline_ms: deadline_ms == last)
    for last in range(1, 10 * MIN_SWEEP):
        deadlines.add(b"k", last)
    assert len(deadlines._heap) <= MIN_SWEEP + 1
