"""Where the keeper decides: one request after another, each answered once it is safe.

A request has a random number, and is known again by it: the record remembers which
requests made its last versions, and the desk what it answered lately. So who hears no
answer asks again, whatever became of the first time.
"""

from itertools import islice
from random import Random

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.table.records.messages import (
    MAX_CHANGES,
    MAX_RECORDS,
    Answer,
    Ask,
    Change,
    Create,
    Declined,
    Done,
    Entry,
    Found,
    Read,
    Swap,
    above,
    first_of,
    tenure_of,
)
from shoal.table.records.shelf import Shelf

# At 5,000 changes a second this is longer than anybody asks again.
MAX_REMEMBERED = 65_536

# Answers that wait for the disk; the askers' own limit is half of it.
MAX_WAITING = 16_384


class Waiting(Struct):
    """An answer, and the batch it rests on."""

    ticket: int
    asker: PeerId
    answer: Answer


class Desk:
    """Decides what a record has next."""

    def __init__(
        self, shelf: Shelf, rng: Random, max_records: int = MAX_RECORDS
    ) -> None:
        self.tenure = 0
        self._shelf = shelf
        self._rng = rng
        self._max_records = max_records
        self._last = 0  # The last version made here.
        self._answers: dict[int, Answer] = {}
        self._waiting: list[Waiting] = []

    def reign(self, heard: int) -> None:
        """Begin a tenure above all that was heard of."""
        highest = max(heard, self.tenure, self._shelf.tenure)
        self.tenure = above(highest, self._rng)
        self._last = max(self._shelf.highest, first_of(self.tenure))

    def take(self, asker: PeerId, ask: Ask) -> Answer | None:
        """Decide; the answer, or nothing if it waits for the disk."""
        if known := self._answers.get(ask.request):
            return known
        table = self._shelf.table
        table.begin(0)
        answer = self._decide(ask)
        if not table.rests_on:
            self._remember(answer)
            return answer
        if len(self._waiting) < MAX_WAITING:  # Else it will be asked again.
            self._waiting.append(Waiting(table.rests_on, asker, answer))
        return None

    def released(
        self, safe: int, refused: int, why: str
    ) -> list[tuple[PeerId, Answer]]:
        """The disk has kept all up to one batch, or refused all up to another."""
        waiting, self._waiting, answers = self._waiting, [], []
        for waited in waiting:
            answer = waited.answer
            if waited.ticket > max(safe, refused):
                self._waiting.append(waited)
                continue
            if waited.ticket > safe:
                answer = Declined(answer.request, "NoSpace", why[:400])
            self._remember(answer)
            answers.append((waited.asker, answer))
        return answers

    def _remember(self, answer: Answer) -> None:
        """A repeat has the same answer: who was told it was not done must be right."""
        if isinstance(answer, Found):
            return  # A read may be answered anew.
        self._answers[answer.request] = answer
        if len(self._answers) > MAX_REMEMBERED:
            for request in list(islice(self._answers, MAX_REMEMBERED // 8)):
                del self._answers[request]

    # Decisions

    def _decide(self, ask: Ask) -> Answer:
        what = ask.what
        had = self._shelf.find(what.kind, what.id)
        if isinstance(what, Read):
            return Found(ask.request, had if had and had.body is not None else None)
        if had and (made := had.made_by(ask.request)) is not None:
            return Done(ask.request, made)
        if self._shelf.table.burdened:
            return _declined(ask, "Overloaded", "the keeper's disk is behind; wait")
        refuse = self._refuse_create if isinstance(what, Create) else _refuse_swap
        return refuse(ask, had) or self._change(ask, had)

    def _refuse_create(self, ask: Ask, had: Entry | None) -> Declined | None:
        if had and had.body is not None:
            cause = "it is there already; choose another id, or swap it"
            return _declined(ask, "Exists", cause)
        if self._shelf.living >= self._max_records:
            cause = f"there are {self._max_records} records; remove some first"
            return _declined(ask, "Overloaded", cause)
        return None

    def _change(self, ask: Ask, had: Entry | None) -> Done:
        what = ask.what
        assert not isinstance(what, Read), "a read changes nothing"
        version = self._next_version()
        before = had.changes[1 - MAX_CHANGES :] if had else ()
        changes = (*before, Change(ask.request, version))
        self._shelf.put(Entry(what.kind, what.id, changes, what.body))
        return Done(ask.request, version)

    def _next_version(self) -> int:
        if self._shelf.tenure > self.tenure or tenure_of(self._last + 1) > self.tenure:
            self.reign(self._shelf.tenure)
        self._last += 1
        return self._last


def _refuse_swap(ask: Ask, had: Entry | None) -> Declined | None:
    assert isinstance(ask.what, Swap)
    if had is None or had.body is None:
        return _declined(ask, "Conflict", "nothing stands there; create it")
    if had.version != ask.what.version:
        cause = f"its version is {had.version}, not {ask.what.version}; read it again"
        return _declined(ask, "Conflict", cause)
    return None


def _declined(ask: Ask, error: str, cause: str) -> Declined:
    why = f"record {ask.what.kind}/{ask.what.id}: {cause}"
    return Declined(ask.request, error, why)
