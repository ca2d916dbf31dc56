"""Records: interleavings that luck finds too rarely, limits, and hostile bytes."""

from contextlib import suppress
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.machine import Emit, PeerId, Send
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage
from shoal.net.asking import MAX_BODY_BYTES as MAX_POST_BYTES
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.records.desk import Desk
from shoal.table.records.exchange import Exchange, parcelled
from shoal.table.records.facts import Answered, RecordsFact
from shoal.table.records.messages import (
    MAX_BODY_BYTES,
    MAX_CHANGES,
    Ask,
    Change,
    Compare,
    Create,
    Declined,
    Done,
    Entry,
    Fetch,
    Found,
    Name,
    Read,
    RecordsMessage,
    Swap,
    Told,
    above,
    first_of,
    mistake_in,
    tenure_of,
)
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.records.shelf import Shelf

OLD, NEXT, ASKER = PeerId("o"), PeerId("n"), PeerId("x")
AGES = {OLD: 1, NEXT: 2, ASKER: 3}

DECODER: msgspec.msgpack.Decoder[RecordsMessage] = msgspec.msgpack.Decoder(
    RecordsMessage
)


def shelf_of(*, logged: bool = False, max_removed: int = 100) -> Shelf:
    ballot = Ballot(view=1, counter=1, peer=OLD, start=1)
    return Shelf(Table(ballot, Random(1), logged=logged), max_removed)


def entry(id_: str, version: int, body: bytes | None = b"x") -> Entry:
    return Entry("job", id_, (Change(version, version),), body)


class Post:
    """Three peers, and letters between them that are delivered when a test says so."""

    def __init__(self) -> None:
        self.peers: dict[PeerId, Archive] = {}
        self.letters: list[tuple[PeerId, PeerId, RecordsMessage]] = []
        self.facts: list[RecordsFact] = []
        for name, since in AGES.items():
            table = Table(Ballot(1, 1, name, 1), Random(since), logged=False)
            self.peers[name] = Archive(
                name, since, table, rng=Random(since), now=0, founding=True
            )

    def take(self, sender: PeerId, effects: RecordsEffects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.letters.append((sender, effect.to, effect.message))
            elif isinstance(effect, Emit):
                self.facts.append(effect.fact)

    def meet(self, one: PeerId, other: PeerId, now: float) -> None:
        self.take(one, self.peers[one].found(other, AGES[other], now))

    def lose(self, one: PeerId, other: PeerId, now: float) -> None:
        self.take(one, self.peers[one].gone(other, now))

    def deliver(self, *between: PeerId, now: float) -> None:
        """Everything between these, until nothing is left."""
        while mine := [each for each in self.letters if {*each[:2]} <= {*between}]:
            self.letters.remove(mine[0])
            sender, to, message = mine[0]
            self.take(to, self.peers[to].receive(sender, message, now))

    def deliver_one(self, sender: PeerId, to: PeerId, now: float) -> None:
        letter = next(each for each in self.letters if each[:2] == (sender, to))
        self.letters.remove(letter)
        self.take(to, self.peers[to].receive(sender, letter[2], now))

    def ask(self, asker: PeerId, number: int, what: object, now: float) -> None:
        assert isinstance(what, Create | Read | Swap)
        self.take(asker, self.peers[asker].ask(number, what, now, 10))

    def answer(self, number: int) -> object:
        """What that request was told, if anything."""
        for fact in self.facts:
            if isinstance(fact, Answered) and fact.request == number:
                return fact.answer
        return None


def test_a_keeper_that_is_back_serves_nobody_from_before() -> None:
    post = Post()
    post.meet(NEXT, ASKER, 0)  # o is cut off.
    post.meet(ASKER, NEXT, 0)
    for name in (OLD, NEXT, ASKER):
        post.take(name, post.peers[name].wake(0))
    post.deliver(NEXT, ASKER, now=0)
    post.ask(ASKER, 1, Create("job", "a", b"1"), 1)
    post.deliver(NEXT, ASKER, now=1)
    assert isinstance(post.answer(1), Done)

    post.meet(OLD, ASKER, 2)  # o is back, and pulls from x, that has not noticed.
    post.deliver_one(OLD, ASKER, 2)
    post.ask(ASKER, 2, Create("job", "b", b"2"), 2)
    post.deliver(NEXT, ASKER, now=2)
    assert isinstance(post.answer(2), Done)

    post.deliver_one(ASKER, OLD, 2)  # What x knew before.
    post.meet(ASKER, OLD, 3)
    post.ask(ASKER, 3, Read("job", "b"), 3)
    post.deliver(OLD, ASKER, now=3)
    post.take(ASKER, post.peers[ASKER].wake(4))  # It asks again.
    post.deliver(OLD, ASKER, now=4)
    found = post.answer(3)
    assert isinstance(found, Found)
    assert found.entry
    assert found.entry.body == b"2"


def test_a_repeat_at_the_next_keeper_has_the_same_answer() -> None:
    shelf = shelf_of()
    first = Desk(shelf, Random(1))
    first.reign(0)
    ask = Ask(0, 7, Create("job", "a", b"1"))
    answer = first.take(ASKER, ask)
    assert isinstance(answer, Done)
    nearly = MAX_CHANGES - 1
    for number in range(nearly):
        had = shelf.find("job", "a")
        assert had
        swap = Ask(0, 100 + number, Swap("job", "a", had.version, b"2"))
        assert isinstance(first.take(ASKER, swap), Done)
    second = Desk(shelf, Random(2))
    second.reign(0)
    assert second.take(ASKER, ask) == answer


def test_a_full_disk_takes_back_what_nobody_was_told() -> None:
    shelf = shelf_of(logged=True)
    desk = Desk(shelf, Random(1))
    desk.reign(0)
    ask = Ask(0, 7, Create("job", "a", b"1"))
    assert desk.take(ASKER, ask) is None
    assert list(shelf.all_of("job")) == []
    last = shelf.table.refused()
    shelf.refused()
    [(asker, answer)] = desk.released(0, last, "NOSPACE the disk is full")
    assert asker == ASKER
    assert isinstance(answer, Declined)
    assert answer.error == "NoSpace"
    assert shelf.find("job", "a") is None
    assert desk.take(ASKER, ask) == answer, "told it was not done: it stays so"


def test_a_full_disk_takes_nothing_back_that_was_safe() -> None:
    shelf = shelf_of(logged=True)
    desk = Desk(shelf, Random(1))
    desk.reign(0)
    ask = Ask(0, 7, Create("job", "a", b"1"))
    desk.take(ASKER, ask)
    first = shelf.table.take()
    assert first
    desk.take(ASKER, Ask(0, 8, Create("job", "b", b"1")))
    desk.take(ASKER, ask)  # It is asked again before it is safe.
    shelf.table.committed(first.ticket)
    told = desk.released(first.ticket, 0, "")
    assert [type(answer) for _, answer in told] == [Done, Done]
    shelf.table.take()
    told = desk.released(0, shelf.table.refused(), "NOSPACE the disk is full")
    assert [(answer.request, type(answer)) for _, answer in told] == [(8, Declined)]


def test_records_are_refused_beyond_their_number() -> None:
    desk = Desk(shelf_of(), Random(1), max_records=2)
    desk.reign(0)
    answers = [
        desk.take(ASKER, Ask(0, n, Create("job", f"j{n}", b""))) for n in range(1, 4)
    ]
    assert [type(each) for each in answers] == [Done, Done, Declined]


def test_only_the_last_that_were_removed_are_remembered() -> None:
    shelf = shelf_of(max_removed=3)
    shelf.learn(entry(f"j{n}", n + 1, None) for n in range(9))
    shelf.learn([entry("kept", 100)])
    shelf.forget_removed()
    assert shelf.table.size == 4
    assert shelf.safe("job", "j5") is None
    assert shelf.safe("job", "j6")


def test_sums_are_of_what_there_is_whatever_the_order() -> None:
    entries = [entry(f"j{n}", n + 1) for n in range(50)]
    one, other = shelf_of(), shelf_of()
    one.learn(entries)
    other.learn([entry("j3", 1), *reversed(entries)])
    other.learn([entry("j3", 1)])
    assert one.sums == other.sums
    assert any(one.sums)


def test_a_higher_tenure_is_higher_whatever_its_random_bits() -> None:
    rng, tenure = Random(1), 0
    for _ in range(1000):
        higher = above(tenure, rng)
        assert higher > tenure
        assert tenure_of(first_of(higher) + 5) == higher
        tenure = higher


def test_the_largest_messages_fit_a_post() -> None:
    changes = tuple(Change(2**62 - 1, 2**61) for _ in range(MAX_CHANGES))
    longest = Entry("k" * 24, "i" * 64, changes, bytes(MAX_BODY_BYTES))
    shelf = shelf_of()
    shelf.learn([entry("a", 1), longest])
    told = [Told(portion) for portion in parcelled([entry("a", 1), longest] * 3)]
    names = tuple(Name(each.kind, each.id) for each in (entry("a", 1), longest)) * 99
    fetched = Exchange(shelf).fetch(Fetch(1, names))
    for message in (*told, fetched):
        data = msgspec.msgpack.encode(message)
        assert len(data) < MAX_POST_BYTES
        assert decoded(DECODER, data) == message
    assert fetched.answered < len(names)


@given(st.binary(max_size=300))
def test_junk_is_refused_or_a_message_that_nobody_minds(data: bytes) -> None:
    table = Table(Ballot(1, 1, OLD, 1), Random(1), logged=False)
    archive = Archive(OLD, 1, table, rng=Random(1), now=0, founding=True)
    archive.wake(0)
    with suppress(MalformedMessage):
        archive.receive(ASKER, decoded(DECODER, data), 1)


@given(
    st.lists(st.integers(0, 255), max_size=256),
    st.lists(st.integers(0, 2**62 - 1), max_size=256),
)
def test_sums_that_do_not_match_parcels_do_no_harm(
    parcels: list[int], sums: list[int]
) -> None:
    exchange = Exchange(shelf_of())
    listing = exchange.compared(Compare(1, 0, tuple(parcels), tuple(sums)), 0)
    assert listing.rows == ()


@pytest.mark.parametrize(
    "what",
    [
        Create("Job", "a", b""),
        Create("job", "", b""),
        Create("job", "a/b", b""),
        Create("job", "a\n", b""),
        Create("job", "é", b""),
        Read("job", "x" * 65),
        Swap("job", "a", -1, b""),
        Swap("job", "a", 2**62, b""),
        Create("job", "a", bytes(MAX_BODY_BYTES + 1)),
    ],
)
def test_what_cannot_be_sent_is_a_mistake(what: Create | Read | Swap) -> None:
    assert mistake_in(what)
    with pytest.raises(MalformedMessage):
        decoded(DECODER, msgspec.msgpack.encode(Ask(0, 1, what)))
