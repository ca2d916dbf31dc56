"""Where an owner decides: one request after another, each answered once it is safe.

A request has a random number, and is known again by it: the record remembers which
requests made its last versions, and the desk what it answered lately. So who hears no
answer asks again, whatever became of the first time. A request names the ballot of
whoever it is for: one that was late on its way is carried out by no later owner.
"""

from itertools import islice

import msgspec
from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.core.records import Record
from shoal.core.wire import decoded
from shoal.table.messages import NEVER
from shoal.table.protocol import Table
from shoal.table.records.board import Board
from shoal.table.records.decisions import Decision, decide
from shoal.table.records.exchange import record_of
from shoal.table.records.messages import (
    MAX_REMOVED,
    Answer,
    Ask,
    Declined,
    Entry,
    Found,
    NotNow,
)
from shoal.table.records.names import key_of, unit_of
from shoal.table.records.tenures import Head, Tenure
from shoal.table.slots import slots_of

_encode = msgspec.msgpack.Encoder().encode
_heads = msgspec.msgpack.Decoder(Head)
_decoder = msgspec.msgpack.Decoder(Entry)

# At 5,000 changes a second this is longer than anybody asks again.
MAX_REMEMBERED = 65_536

# Answers that wait to be safe; the askers' own limit is half of it.
MAX_WAITING = 16_384

Told = Answer | NotNow

# Keys of a unit, and what they have.
Stored = list[tuple[bytes, bytes]]


class Waiting(Struct):
    """An answer, and the change that it tells of, if any."""

    asker: PeerId
    answer: Answer
    unit: int
    entry: Entry | None


class Desk:
    """Decides what a record has next, and knows what was decided."""

    def __init__(self, table: Table, board: Board) -> None:
        self._table = table
        self._board = board
        self._tenures: dict[int, Tenure] = {}
        self._answers: dict[int, Answer] = {}
        # What rests on which batch: answers, and units being looked through.
        self._waiting: dict[int, list[Waiting]] = {}
        self._count = 0
        self._deciding: dict[int, None] = {}  # Requests whose answers wait.
        self._unread: dict[int, None] = {}  # Units not looked through since.
        self._reading: dict[int, dict[int, Stored]] = {}

    # Owning

    def opened(self, units: list[int], now: float) -> None:
        """These are ours: whatever was decided of them is to be found out."""
        for unit in units:
            stored = self._stored(unit)
            heads = ((key, decoded(_heads, value)) for key, value in stored)
            self._tenures[unit] = Tenure(now, heads)
            self._unread[unit] = None

    def void(self, now: float) -> None:
        """The disk has refused what was under way."""
        self.opened([unit for unit in self._tenures if self._table.opened[unit]], now)

    def sure(self, unit: int) -> bool:
        """Is it ours, and all that was decided of it on our board?"""
        reading = any(unit in units for units in self._reading.values())
        return self._table.opened[unit] and unit not in self._unread and not reading

    @property
    def restless(self) -> bool:
        """Does anything rest on the batch that is open?"""
        ticket = self._table.ticket
        return ticket in self._waiting or ticket in self._reading

    def _stored(self, unit: int) -> Stored:
        slots = (self._table.slots[slot] for slot in slots_of(unit))
        every = ((key, entry.value) for slot in slots for key, entry in slot.items())
        # A log of before records were replicated has keys of another kind.
        return [each for each in every if each[0].startswith(b"{")]

    def read(self) -> None:
        """Look through what has become ours, as anybody else would read it."""
        units, self._unread = self._unread, {}
        for unit in units:
            if not self._table.opened[unit]:
                continue
            self._table.begin(0)
            stored = self._stored(unit)
            if self._table.shared:
                self._table.read(unit)
            else:
                self._table.rest_on_all()
            ticket = self._table.rests_on
            self._reading.setdefault(ticket, {})[unit] = stored

    # Deciding

    def take(self, asker: PeerId, ask: Ask, now: float) -> Told | None:
        """Decide; the answer, or nothing if it is to be safe first."""
        table, unit = self._table, unit_of(ask.what.kind, ask.what.id)
        if not table.opened[unit] or table.ballots[unit] != ask.ballot:
            return NotNow(ask.request)
        if known := self._answers.get(ask.request):
            return known
        # What is asked again before it is answered is not decided twice: it may be
        # another answer by now, and the first is the one that is told.
        if ask.request in self._deciding or self._count >= MAX_WAITING:
            return None
        table.begin(0)
        decision = self._decide(ask, unit, now)
        if isinstance(decision.answer, NotNow):
            return decision.answer
        waiting = Waiting(asker, decision.answer, unit, decision.entry)
        if decision.entry:
            self._put(unit, decision.entry)
        self._waiting.setdefault(table.rests_on, []).append(waiting)
        self._count += 1
        self._deciding[ask.request] = None
        return None

    def _decide(self, ask: Ask, unit: int, now: float) -> Decision:
        what = ask.what
        found = self._table.find(key_of(what.kind, what.id))
        had = decoded(_decoder, found.value) if found else None
        room = not self._table.burdened and self._board.has_room
        return decide(ask, had, self._tenures[unit], now, room=room)

    def _put(self, unit: int, entry: Entry) -> None:
        key, value = key_of(entry.kind, entry.id), _encode(entry)
        tenure = self._tenures[unit]
        self._table.put(key, value, NEVER)
        if entry.body is None:
            tenure.bury(entry.version, key)
            rests_on = self._table.rests_on
            tenure.forget(self._drop, MAX_REMOVED)
            self._table.rests_on = rests_on

    def _drop(self, version: int, key: bytes) -> None:
        """Forget that it was removed, unless it is there again."""
        slot = self._table.find(key)
        if slot:
            entry = decoded(_decoder, slot.value)
            if entry.version == version:
                self._table.drop(key)

    # What has become safe

    def look(self) -> tuple[list[tuple[PeerId, Told]], list[Record]]:
        """Answers that may leave, and what was decided here since the last look.

        It is on our board by then.
        """
        self._look_at_units()
        told: list[tuple[PeerId, Told]] = []
        decided: list[Record] = []
        for ticket in list(self._waiting):
            fate = self._fate(ticket)
            if fate is not None:
                for waiting in self._waiting.pop(ticket):
                    self._count -= 1
                    self._deciding.pop(waiting.answer.request, None)
                    told.append((waiting.asker, self._told(waiting, fate)))
                    entry = waiting.entry
                    if entry and not fate:
                        record = record_of(entry)
                        self._board.learn(record)
                        decided.append(record)
        return told, decided

    def _look_at_units(self) -> None:
        """What was decided before they were ours: others find it on our board."""
        for ticket in list(self._reading):
            fate = self._fate(ticket)
            if fate is None:
                continue
            for unit, stored in self._reading.pop(ticket).items():
                if fate:
                    self._unread[unit] = None
                    continue
                for _, value in stored:
                    head = decoded(_heads, value)
                    if self._board.lacks(head.kind, head.id, head.version):
                        self._board.learn(record_of(decoded(_decoder, value)))

    def _fate(self, ticket: int) -> str | None:
        return self._table.fate(ticket) if ticket else ""

    def _told(self, waiting: Waiting, fate: str) -> Told:
        answer = waiting.answer
        if not fate:
            self._remember(answer)
            return answer
        if waiting.entry:
            self._unread[waiting.unit] = None  # It may be decided later.
        if fate.startswith("NOSPACE") and not self._table.shared:
            declined = Declined(answer.request, "NoSpace", fate[:400])
            self._remember(declined)
            return declined
        return NotNow(answer.request)

    def _remember(self, answer: Answer) -> None:
        """A repeat has the same answer: who was told it was not done must be right."""
        if isinstance(answer, Found):
            return  # A read may be answered anew.
        self._answers[answer.request] = answer
        if len(self._answers) > MAX_REMEMBERED:
            for request in list(islice(self._answers, MAX_REMEMBERED // 8)):
                del self._answers[request]
