"""What a client said at once, where some of it is answered by other peers.

The answers of a turn stand in the order of its requests, with holes where others are
asked; when the last hole is filled the turn has landed, and leaves for the client in
one piece. A client has one turn abroad at a time, and nothing more is heard of it
until that one has landed: so what it asks keeps its order even where a key changes
hands meanwhile, and no client can have more than a turn waiting.
"""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from shoal.table.redis.replies import error

# What one command's answers are made to.
Merge = Callable[[list[bytes]], bytes]


class Unasked(bytes):
    """What a client is told without having asked, in the midst of its answers."""


class Errand(Struct):
    """One request for whoever owns its key, in words of Redis's protocol."""

    turn: "Turn"
    number: int
    key: bytes
    version: int
    words: list[bytes]
    size_bytes: int
    changes: bool


class _Hole(Struct):
    at: int
    first: int
    end: int
    merge: Merge | None


class Turn:
    """One turn of one client."""

    def __init__(self, send: Callable[["Turn"], None]) -> None:
        self._send = send
        self.replies: list[bytes] = []  # In order, nothing where a hole is.
        self.errands: list[Errand] = []  # Until it is sent.
        self.changes = False  # Does anything of it?
        self.until = self.patient_until = 0.0
        self.left = 0
        self.size_bytes = 0  # Of all its errands.
        self._landed: Callable[[], None] | None = None
        self._answers: list[bytes] = []
        self._ours: list[int] = []  # Of the answers, those that were given here.
        self._holes: list[_Hole] = []

    # What is asked

    def ask(
        self, key: bytes, version: int, words: list[bytes], *, changes: bool
    ) -> None:
        """One more answer will come, from whoever owns the key."""
        size = 16 + sum(map(len, words)) + 5 * len(words)
        number = len(self._answers)
        self.errands.append(Errand(self, number, key, version, words, size, changes))
        self._answers.append(b"")
        self.left += 1
        self.size_bytes += size
        self.changes |= changes

    def expect(self) -> Callable[[bytes], None]:
        """One more answer will come, from whoever calls that with it."""
        number = len(self._answers)
        self._answers.append(b"")
        self.left += 1
        return partial(self.answer, number)

    def tell(self, answer: bytes) -> None:
        """One more answer, which was given here."""
        self._ours.append(len(self._answers))
        self._answers.append(answer)

    def leave(self, at: int, merge: Merge | None = None) -> None:
        """The reply at that place will be made of the answers since the last one."""
        first = self._holes[-1].end if self._holes else 0
        self._holes.append(_Hole(at, first, len(self._answers), merge))

    @property
    def holes(self) -> int:
        """How many replies are made of answers."""
        return len(self._holes)

    def send(self, landed: Callable[[], None]) -> None:
        """Ask; when all have answered, call that.

        Not before this has returned: whoever sends looks whether anything is `left`.
        """
        self._send(self)
        self._landed = landed

    # What comes of it

    def answer(self, number: int, reply: bytes) -> None:
        """One of the answers."""
        self._answers[number] = reply
        self.left -= 1
        if not self.left and self._landed:
            self._landed()

    def refuse(self, why: str, reply: bytes) -> None:
        """Nothing that was changed here has been; `reply` says so instead."""
        for at, said in enumerate(self.replies):
            if isinstance(said, Unasked):
                self.replies[at] = b""
            elif said:  # Where a hole is, nothing is said yet.
                self.replies[at] = reply
        for number in self._ours:
            self._answers[number] = error(why)

    def told(self) -> bytes:
        """All there is to say, once it has landed."""
        for at, first, end, merge in map(_fields, self._holes):
            answers = self._answers[first:end]
            self.replies[at] = merge(answers) if merge else answers[0]
        return b"".join(self.replies)


def _fields(hole: _Hole) -> tuple[int, int, int, Merge | None]:
    return hole.at, hole.first, hole.end, hole.merge
