"""An owner of records, without a network."""

from random import Random

from shoal.core.machine import PeerId
from shoal.core.records import Record
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.records.board import Board
from shoal.table.records.desk import Desk
from shoal.table.records.messages import (
    UNITS,
    Answer,
    Ask,
    Declined,
    Done,
    NotNow,
    What,
)

ME, ASKER = PeerId("o"), PeerId("x")
BALLOT = Ballot(view=1, counter=1, peer=ME, start=1)


def record(id_: str, version: int, body: bytes = b"x") -> Record:
    return Record("job", id_, version, body)


class Office:
    """An owner of all, whose disk keeps what it is given when a test says so."""

    def __init__(self, *, logged: bool = False, board: Board | None = None) -> None:
        self.table = Table(BALLOT, Random(1), logged=logged)
        self.board = board or Board()
        self.desk = Desk(self.table, self.board)
        self.desk.opened(list(range(UNITS)), 0)

    def ask(
        self, request: int, what: What, now: float = 0, *, again: bool = False
    ) -> Answer | NotNow:
        """Ask, and hear it at once."""
        ask = Ask(BALLOT, request, again, what)
        if answer := self.desk.take(ASKER, ask, now):
            return answer
        [(asker, answer)] = self.look()
        assert asker == ASKER
        return answer

    def look(self) -> list[tuple[PeerId, Answer | NotNow]]:
        self.desk.read()
        return self.desk.look()[0]

    def done(
        self, request: int, what: What, now: float = 0, *, again: bool = False
    ) -> int:
        answer = self.ask(request, what, now, again=again)
        assert isinstance(answer, Done), answer
        return answer.version

    def declined(
        self, request: int, what: What, now: float = 0, *, again: bool = False
    ) -> str:
        answer = self.ask(request, what, now, again=again)
        assert isinstance(answer, Declined), answer
        return answer.error
