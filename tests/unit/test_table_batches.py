"""How much is committed at once, and what waits for it."""

from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.table import ledger
from shoal.table.messages import Ballot, Group
from shoal.table.protocol import Table

BATCH_BYTES = 10_000


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(ledger, "BATCH_BYTES", BATCH_BYTES)
    monkeypatch.setattr(ledger, "BURDEN_BYTES", 2.5 * BATCH_BYTES)
    return Table(Ballot(1, 1, PeerId("me"), 1), Random(1), logged=True)


def state(table: Table) -> dict[bytes, bytes]:
    return {k: entry.value for slot in table.slots for k, entry in slot.items()}


def change_at_random(table: Table, rng: Random) -> None:
    key = b"%d" % rng.randrange(20)
    match rng.randrange(10):
        case 0:
            table.flush()
        case 1 | 2 | 3:
            table.drop(key)
        case _:
            table.put(key, rng.randbytes(rng.randrange(4000)))
    table.tell("did", key)


@pytest.mark.parametrize("seed", range(20))
def test_changes_are_committed_in_order_in_batches_of_bounded_size(
    table: Table, seed: int
) -> None:
    rng, told, rested = Random(seed), list[int](), 0
    table.told = lambda _, key: told.append(int(key))
    for _ in range(200):
        change_at_random(table, rng)
        assert table.rests_on >= rested
        rested = table.rests_on
    tickets, copy = [], dict[bytes, bytes | None]()
    while batch := table.take():
        tickets.append(batch.ticket)
        groups = [each for each in batch.items if isinstance(each, Group)]
        for group in groups:
            if group.flushed:
                copy.clear()
            copy.update({record[1]: record[4] for record in group.records})
        sizes = [len(r[4] or b"") for g in groups for r in g.records]
        assert sum(sizes[:-1]) < BATCH_BYTES
        told.clear()
        table.committed(batch.ticket)
        assert told
    assert tickets == list(range(1, rested + 1))
    assert len(tickets) > 10
    assert {k: v for k, v in copy.items() if v is not None} == state(table)
    assert not table.dirty
    assert not table.burdened


@pytest.mark.parametrize("seed", range(20))
def test_what_is_refused_is_taken_back_through_all_batches(
    table: Table, seed: int
) -> None:
    rng = Random(seed)
    for n in range(20):
        table.put(b"%d" % n, b"old")
    first = table.take()
    assert first
    table.committed(first.ticket)
    before = state(table)
    for _ in range(200):
        change_at_random(table, rng)
    table.take()
    assert table.refused() == table.rests_on
    assert state(table) == before
    assert table.size == 20
    assert not table.burdened


def test_the_table_is_burdened_until_enough_is_safe(table: Table) -> None:
    for n in range(3):
        assert not table.burdened
        table.put(b"%d" % n, bytes(BATCH_BYTES))
    assert table.burdened
    for _ in range(3):
        batch = table.take()
        assert batch
    assert table.burdened
    table.committed(2)
    assert not table.burdened


def test_to_flush_nothing_costs_nothing_but_rests_on_what_was_there(
    table: Table,
) -> None:
    table.flush()
    assert table.rests_on == 0
    assert table.take() is None
    table.put(b"k", b"v")
    table.flush()
    batch = table.take()
    assert batch
    table.begin(1)
    table.flush()
    assert table.rests_on == batch.ticket
    assert table.take() is None
