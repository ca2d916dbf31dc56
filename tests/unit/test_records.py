"""Records: rules and interleavings that luck finds rarely, limits, hostile bytes."""

from contextlib import suppress
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.machine import Emit, Send
from shoal.core.records import Record
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage
from shoal.net.asking import MAX_BODY_BYTES as MAX_POST_BYTES
from shoal.table.committer import Committer
from shoal.table.messages import SLOTS, UNIT_BITS, Ballot
from shoal.table.protocol import Table
from shoal.table.records.asks import Asks
from shoal.table.records.board import Board
from shoal.table.records.desk import Desk
from shoal.table.records.exchange import Exchange, parcelled
from shoal.table.records.facts import Answered, RecordsFact
from shoal.table.records.messages import (
    MAX_BODY_BYTES,
    MAX_CHANGES,
    MAX_CLAIM_S,
    MAX_REMOVED,
    UNITS,
    Ask,
    Change,
    Claim,
    Compare,
    Create,
    Declined,
    Done,
    Entry,
    Fetch,
    Found,
    Name,
    NotNow,
    Read,
    RecordsMessage,
    Swap,
    Take,
    Told,
    What,
    mistake_in,
)
from shoal.table.records.names import key_of, parcels_of, unit_of
from shoal.table.records.protocol import Archive
from shoal.table.recovery import Remains
from shoal.table.slots import slot_of
from shoal.table.storage import Memory
from tests.unit.offices import ASKER, BALLOT, ME, Office, record

DECODER: msgspec.msgpack.Decoder[RecordsMessage] = msgspec.msgpack.Decoder(
    RecordsMessage
)


def test_keys_lie_in_the_unit_that_they_are_asked_in() -> None:
    for number in range(500):
        key, unit = key_of("job", f"j{number}"), unit_of("job", f"j{number}")
        assert slot_of(key) >> UNIT_BITS == unit < UNITS <= SLOTS >> UNIT_BITS
        assert key.endswith(b"}job/j%d" % number)
    parcels = [parcel for unit in range(UNITS) for parcel in parcels_of(unit)]
    assert parcels == list(range(256))


def test_a_request_for_another_tenure_is_not_carried_out() -> None:
    office = Office()
    late = Ask(Ballot(1, 0, ME, 1), 7, False, Create("job", "a", b"1"))
    assert office.desk.take(ASKER, late, 0) == NotNow(7)
    assert office.ask(8, Read("job", "a")) == Found(8, None)


def test_only_whoever_was_asked_last_may_answer() -> None:
    """What the first declined late, the second may do."""
    asks = Asks()
    asks.begin(7, Create("job", "a", b"1"), 0, 10)
    [(_, asked)] = asks.due(0)
    asked.goes_to(ME, BALLOT)
    asked.goes_to(ME, BALLOT)
    assert not asked.again
    asked.goes_to(ASKER, Ballot(1, 2, ASKER, 1))
    assert asked.again
    assert not asks.answered(7, ME)
    assert asks.answered(7, ASKER)
    assert not asks.answered(7, ASKER)


def test_a_repeat_at_the_next_owner_has_the_same_answer() -> None:
    office = Office()
    create = Create("job", "a", b"1")
    first = version = office.done(7, create)
    for number in range(MAX_CHANGES - 1):
        version = office.done(100 + number, Swap("job", "a", version, b"2"))
    following = Desk(office.table, office.board)  # It remembers no answers.
    following.opened(list(range(UNITS)), 0)
    office.desk = following
    assert office.done(7, create, again=True) == first


def test_who_was_forgotten_by_the_record_is_told_that_nobody_knows() -> None:
    office = Office()
    create = Create("job", "a", b"1")
    version = office.done(7, create)
    for number in range(MAX_CHANGES):
        version = office.done(100 + number, Swap("job", "a", version, b"2"))
    office.desk = Desk(office.table, office.board)
    office.desk.opened(list(range(UNITS)), 0)
    assert office.declined(7, create, again=True) == "Unanswered"
    assert office.declined(9, Swap("job", "a", 1, b"3"), again=True) == "Unanswered"
    assert office.declined(10, Create("job", "a", b"4")) == "Exists"
    assert office.declined(11, Swap("job", "a", 1, b"5")) == "Conflict"
    assert office.done(12, Swap("job", "a", version, b"6"), again=True) > version


def test_a_full_disk_takes_back_what_nobody_was_told() -> None:
    office = Office(logged=True)
    ask = Ask(BALLOT, 7, False, Create("job", "a", b"1"))
    assert office.desk.take(ASKER, ask, 0) is None
    assert office.look() == []
    assert list(office.board.all_of("job")) == []
    office.table.refused("NOSPACE the disk is full")
    office.desk.void(0)
    [(asker, answer)] = office.look()
    assert asker == ASKER
    assert isinstance(answer, Declined)
    assert answer.error == "NoSpace"
    assert office.board.find("job", "a") is None
    assert office.ask(7, Create("job", "a", b"1")) == answer, "it stays so"


def test_a_full_disk_takes_nothing_back_that_was_safe() -> None:
    office = Office(logged=True)
    office.desk.take(ASKER, Ask(BALLOT, 7, False, Create("job", "a", b"")), 0)
    first = office.table.take()
    assert first
    office.desk.take(ASKER, Ask(BALLOT, 8, False, Create("job", "b", b"")), 0)
    office.desk.take(ASKER, Ask(BALLOT, 7, False, Create("job", "a", b"")), 0)
    office.table.committed(first.ticket)
    told = office.look()
    assert [(answer.request, type(answer)) for _, answer in told] == [(7, Done)]  # Once
    office.table.refused("NOSPACE the disk is full")
    told = office.look()
    assert [(answer.request, type(answer)) for _, answer in told] == [(8, Declined)]


def test_records_are_refused_beyond_their_number() -> None:
    office = Office(board=Board(max_records=2))
    for number in (1, 2):
        office.done(number, Create("job", f"j{number}", b""))
    assert office.declined(3, Create("job", "j3", b"")) == "Overloaded"
    again = office.ask(3, Create("job", "j4", b""), again=True)
    assert isinstance(again, Declined), "it was told so, and stays so"
    unheard = office.ask(4, Create("job", "j4", b""), again=True)
    assert unheard == NotNow(4), "an earlier owner may have done it"


def test_versions_rise_past_what_is_forgotten() -> None:
    office = Office()
    made = office.done(1, Create("job", "a", b""))
    last = office.done(2, Swap("job", "a", made, None))
    unit = unit_of("job", "a")
    neighbours = (f"j{n}" for n in range(10**6) if unit_of("job", f"j{n}") == unit)
    for number, name in zip(range(MAX_REMOVED + 5), neighbours, strict=False):
        made = office.done(10 + 2 * number, Create("job", name, b""))
        office.done(11 + 2 * number, Swap("job", name, made, None))
    assert office.table.size == MAX_REMOVED
    assert office.table.find(key_of("job", "a")) is None, "it is forgotten"
    assert office.done(3, Create("job", "a", b"")) > last
    restarted = Desk(office.table, office.board)
    restarted.opened([unit], 0)
    office.desk = restarted
    stands = office.board.find("job", "a")
    assert stands
    assert office.done(4, Create("job", name, b"")) > stands.version


# Boards


def test_only_the_last_that_were_removed_are_remembered() -> None:
    board = Board(max_removed=3)
    ids = [f"j{n}" for n in range(999) if unit_of("job", f"j{n}") == 5][:9]
    for number, id_ in enumerate(ids):
        board.learn(Record("job", id_, number + 1, b"", removed=True))
    board.learn(record("kept", 100))
    assert [bool(board.find("job", id_)) for id_ in ids] == [False] * 6 + [True] * 3
    assert board.find("job", "kept")


def test_sums_are_of_what_there_is_whatever_the_order() -> None:
    records = [record(f"j{n}", n + 1) for n in range(50)]
    one, other = Board(), Board()
    for each in records:
        assert one.learn(each)
    for each in (record("j3", 1), *reversed(records), record("j3", 1)):
        other.learn(each)
    assert one.sums == other.sums
    assert any(one.sums)
    assert one.size_bytes == other.size_bytes > 0
    assert not one.learn(records[0])


def test_the_largest_messages_fit_a_post() -> None:
    body = bytes(MAX_BODY_BYTES)
    longest = Record("k" * 24, "i" * 64, 2**62 - 1, body)
    changes = tuple(Change(2**62 - 1, 2**62 - 1) for _ in range(MAX_CHANGES))
    claim = Claim(2**62 - 1, MAX_CLAIM_S)
    entry = Entry(longest.kind, longest.id, longest.version, body, changes, claim)
    board = Board()
    for each in (record("a", 1), longest):
        board.learn(each)
    told = [Told(portion) for portion in parcelled([record("a", 1), longest] * 3)]
    names = tuple(Name(each.kind, each.id) for each in (record("a", 1), longest)) * 99
    fetched = Exchange(board).fetch(Fetch(1, names))
    for message in (*told, fetched, Found(2**62 - 1, entry)):
        data = msgspec.msgpack.encode(message)
        assert len(data) < MAX_POST_BYTES
        assert decoded(DECODER, data) == message
    assert fetched.answered < len(names)


# One peer, alone


class Alone:
    """The only peer of its network, whose disk keeps everything at once."""

    def __init__(self) -> None:
        table = Table(Ballot(0, 0, ME, 1), Random(1), logged=True)
        self._committer = Committer(table, Memory(), self, sync=True)
        self.facts: list[RecordsFact] = []
        self.archive = Archive(
            *(ME, 1, table, Remains([])),
            host="here",
            rng=Random(1),
            now=0,
            founding=True,
        )
        for tenth in range(5):
            self.note(self.archive.wake(tenth / 10))

    def note(self, effects: object) -> None:
        assert isinstance(effects, list)
        assert not [each for each in effects if isinstance(each, Send)]
        self.facts += [each.fact for each in effects if isinstance(each, Emit)]
        for job in self._committer.due():
            job.run()
            self._committer.done(job, None)

    def release(self, safe: int, refused: int, why: str) -> None:
        self.note(self.archive.released(safe, refused, why, 1))

    def fail(self, error: Exception) -> None:
        raise error


def test_a_lone_peer_serves_itself() -> None:
    alone = Alone()
    assert alone.archive.level
    alone.note(alone.archive.ask(1, Create("job", "a", b"1"), 1, 10))
    [answer] = [fact for fact in alone.facts if isinstance(fact, Answered)]
    assert isinstance(answer.answer, Done)
    assert alone.archive.board.find("job", "a")


@given(st.binary(max_size=300))
def test_junk_is_refused_or_a_message_that_nobody_minds(data: bytes) -> None:
    archive = Alone().archive
    with suppress(MalformedMessage):
        archive.receive(ASKER, decoded(DECODER, data), 1)


@given(
    st.lists(st.integers(0, 255), max_size=256),
    st.lists(st.integers(0, 2**62 - 1), max_size=256),
)
def test_sums_that_do_not_match_parcels_do_no_harm(
    parcels: list[int], sums: list[int]
) -> None:
    exchange = Exchange(Board())
    listing = exchange.compared(Compare(1, tuple(parcels), tuple(sums)), sure=True)
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
        Swap("job", "a", 1, b"", -1),
        Take("job", "a", -1),
        Take("job", "a", MAX_CLAIM_S + 1),
        Take("job", "a", 1, 2**62),
    ],
)
def test_what_cannot_be_sent_is_a_mistake(what: What) -> None:
    assert mistake_in(what)
    with pytest.raises(MalformedMessage):
        decoded(DECODER, msgspec.msgpack.encode(Ask(BALLOT, 1, False, what)))
