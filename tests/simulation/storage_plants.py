"""Faults to plant in the table's storage, each of which the tests must find."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from shoal.errors import NoSpace
from shoal.sim.disk import SimulatedDisk
from shoal.table import committer, log, storage
from shoal.table.committer import Committer, Job
from shoal.table.messages import Item
from shoal.table.portions import portions
from shoal.table.protocol import Table
from shoal.table.storage import FRESH_SEGMENT, FreshCheckpoint, Log
from tests.simulation import storage_properties as hold
from tests.simulation.plants import Plant
from tests.simulation.properties import Property
from tests.simulation.storage import PEER


def told_before_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    honest = Table.put

    def hasty(self: Table, *args: Any) -> None:
        before = self.rests_on
        honest(self, *args)
        self.rests_on = before

    patch.setattr(Table, "put", hasty)


def read_before_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    honest = Table.find

    def hasty(self: Table, key: bytes) -> Any:
        before, found = self.rests_on, honest(self, key)
        self.rests_on = before
        return found

    patch.setattr(Table, "find", hasty)


def refused_and_not_undone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "_take_back", lambda *_: None)


def a_flush_is_not_undone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "_unflush", lambda *_: None)


def an_end_is_not_written_down(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Table, key: bytes) -> None:
        for entries in self.slots:
            self.size -= entries.pop(key, None) is not None
        self.tell("expired", key)

    patch.setattr(Table, "_end", forget)


def a_checkpoint_covers_what_came_while_it_was_written(
    patch: pytest.MonkeyPatch,
) -> None:
    honest = Log.end_checkpoint

    def begin(self: Log) -> None:
        self._log_bytes = 0
        self._next_segment()
        opening = log.Opening(log.FORMAT, PEER, self._number, 7, self._salt)
        self._fresh = FreshCheckpoint(self._disk, opening)

    def end(self: Log) -> None:
        self._next_segment()
        honest(self)

    patch.setattr(Log, "begin_checkpoint", begin)
    patch.setattr(Log, "end_checkpoint", end)


def a_checkpoint_holds_what_is_not_committed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Committer, "_last_batch", lambda _: 0)


def a_checkpoint_is_ended_before_its_changes_are_synced(
    patch: pytest.MonkeyPatch,
) -> None:
    honest = Committer._settle

    def settle(self: Committer, ticket: int) -> None:
        honest(self, ticket)
        self._synced = ticket

    patch.setattr(Committer, "_settle", settle)


def a_checkpoint_waits_for_nothing_that_is_committed(
    patch: pytest.MonkeyPatch,
) -> None:
    def last(self: Committer) -> int:
        self._table.rests_on = 0
        self._table.rest_on_all()
        return self._table.rests_on

    patch.setattr(Committer, "_last_batch", last)


def a_refusal_leaves_the_checkpoint_be(patch: pytest.MonkeyPatch) -> None:
    honest = Committer._refuse

    def refuse(self: Committer, error: NoSpace) -> None:
        before = self._checkpoint.void if self._checkpoint else False
        honest(self, error)
        if self._checkpoint:
            self._checkpoint.void = before
            if self._checkpoint.rests_on:
                self._checkpoint.rests_on = self._safe

    patch.setattr(Committer, "_refuse", refuse)


def replayed_in_the_wrong_order(patch: pytest.MonkeyPatch) -> None:
    honest = log.Segment.items

    def backwards(self: log.Segment, end: float) -> list[Item]:
        return honest(self, end)[::-1]

    patch.setattr(log.Segment, "items", backwards)


def a_bad_checksum_is_accepted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log, "xxh3_64_intdigest", lambda *_: 0)


def commits_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    def claim(self: Log) -> None:
        self._safe = self._place

    patch.setattr(Log, "sync", claim)


def names_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedDisk, "sync_directory", lambda _: None)


def a_segment_is_named_before_it_is_synced(patch: pytest.MonkeyPatch) -> None:
    honest = SimulatedDisk.sync

    def sync(self: SimulatedDisk, name: str) -> None:
        if name != FRESH_SEGMENT:
            honest(self, name)

    patch.setattr(SimulatedDisk, "sync", sync)


def a_restart_trusts_what_only_the_cache_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log.Segment, "unproven", lambda _: [])
    honest = Log._begin_segment

    def trusting(self: Log, previous_bytes: int, again: Sequence[Item]) -> None:
        if self._number and not self._place:
            name = storage._segment(self._number)
            data = self._disk.read(name)
            found = log.read_segment(data, name, self._peer, self._number)
            previous_bytes = found.good_bytes
        honest(self, previous_bytes, again)

    patch.setattr(Log, "_begin_segment", trusting)


def a_full_disk_that_a_sync_finds_is_a_refusal(patch: pytest.MonkeyPatch) -> None:
    honest = Log.sync

    def sync(self: Log) -> None:
        with storage._room():
            honest(self)

    patch.setattr(Log, "sync", sync)


def it_goes_on_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    honest = Committer.done

    def done(self: Committer, job: Job, error: BaseException | None) -> None:
        honest(self, job, error)
        self._failed = False

    patch.setattr(Committer, "done", done)


def half_of_what_there_is_is_written_down(patch: pytest.MonkeyPatch) -> None:
    def first(table: Table, size_bytes: int) -> Iterator[list[Item]]:
        yield next(portions(table, size_bytes), [])

    patch.setattr(committer, "portions", first)


SYNCED, LATER, SHORT = hold.STORAGE_PROPERTIES

# Each fault with the properties that must find it.
STORAGE_PLANTS: list[tuple[Plant, list[Property]]] = [
    (told_before_it_is_committed, [SYNCED]),
    (read_before_it_is_committed, [SYNCED]),
    (refused_and_not_undone, [SYNCED]),
    (a_flush_is_not_undone, [SYNCED]),
    (an_end_is_not_written_down, [SYNCED]),
    (a_checkpoint_covers_what_came_while_it_was_written, [SYNCED]),
    (a_checkpoint_holds_what_is_not_committed, [SYNCED]),
    (a_checkpoint_is_ended_before_its_changes_are_synced, [LATER]),
    (a_checkpoint_waits_for_nothing_that_is_committed, [LATER]),
    (a_refusal_leaves_the_checkpoint_be, [SYNCED]),
    (replayed_in_the_wrong_order, [SYNCED]),
    (a_bad_checksum_is_accepted, [SYNCED]),
    (commits_are_not_synced, [SYNCED]),
    (names_are_not_synced, [SYNCED]),
    (a_segment_is_named_before_it_is_synced, [SYNCED]),
    (a_restart_trusts_what_only_the_cache_holds, [LATER]),
    (a_full_disk_that_a_sync_finds_is_a_refusal, [SYNCED]),
    (it_goes_on_after_a_failure, [SYNCED]),
    (half_of_what_there_is_is_written_down, [SHORT]),
]
