"""What a catalog takes from another of its network, and what it refuses."""

import json
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.catalog.history import History
from shoal.catalog.messages import (
    LIFETIME_S,
    MAX_ELEMENTS,
    MAX_RECORDS,
    Ended,
    Heard,
)
from shoal.catalog.outline import parcel_of
from shoal.catalog.protocol import Catalog
from shoal.catalog.shared import (
    BATCH_BYTES,
    MAX_KEY,
    MAX_MS,
    PARCELS,
    Compare,
    Here,
    Line,
    Lines,
    Shared,
    SpreadMessage,
    Told,
    Want,
)
from shoal.catalog.spreading import AHEAD_MS, SpreadEffects, Spreading
from shoal.core.machine import Emit, PeerId, Send
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage
from shoal.net.asking import MAX_BODY_BYTES
from shoal.sim.disk import SimulatedDisk

NOW = 1_700_000_000.0
MS = int(NOW * 1000)
ME, OTHER = PeerId("me"), PeerId("other")
DECODER: msgspec.msgpack.Decoder[SpreadMessage] = msgspec.msgpack.Decoder(SpreadMessage)
ENCODE = msgspec.msgpack.Encoder().encode


def sharing() -> Spreading:
    return Spreading(ME, Catalog(NOW), NOW)


def sent(effects: SpreadEffects) -> list[SpreadMessage]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def text(port: object = 7, **more: object) -> bytes:
    fields = {"name": "lab1", "lastheardfrom": 5, "address": "10.1.2.3", "port": port}
    return json.dumps({**fields, **more}).encode()


def told(*texts: bytes, stamp: int = MS, left_ms: int = MAX_MS) -> Told:
    return Told(0, 0, tuple(Shared(stamp, left_ms, 0, each) for each in texts))


def test_a_record_is_as_where_it_was_heard() -> None:
    ours, theirs = sharing(), sharing()
    ours.receive(OTHER, Here(), NOW)
    ours.catalog.offer(b'{"type":"x","port":7,"a":[1.0]}', "10.1.2.3", "lab1", NOW)
    [message] = sent(ours.wake(NOW + 1))
    theirs.receive(ME, message, NOW + 3)
    [entry] = theirs.catalog.in_order()
    [original] = ours.catalog.in_order()
    assert entry.text == original.text
    assert entry.mark == original.mark
    assert entry.expires == pytest.approx(NOW + 3 + LIFETIME_S - 1)
    assert ours.outline.sums() == theirs.outline.sums()


def test_what_was_heard_again_is_a_line_and_many_are_one_message() -> None:
    spreading = sharing()
    spreading.receive(OTHER, Here(), NOW)
    updates = [b'{"type":"x","port":%d}' % port for port in range(300)]
    for at in (NOW, NOW + 60):
        for data in updates:
            spreading.catalog.offer(data, "10.1.2.3", "lab1", at)
        messages = sent(spreading.wake(at + 1))
    [lines] = [each for each in messages if not isinstance(each, Compare)]
    assert isinstance(lines, Lines)
    assert len(lines.lines) == 300
    assert sent(spreading.wake(NOW + 62)) == []


def test_who_tells_both_is_known_again_by_both() -> None:
    ours, theirs = sharing(), sharing()
    update = b'{"type":"x","port":7}'
    for n, each in enumerate((ours, theirs)):
        each.receive(OTHER, Here(), NOW)
        each.catalog.offer(update, "10.1.2.3", "lab1", NOW + n)
    [message] = sent(theirs.wake(NOW + 1))
    assert isinstance(message, Told)
    ours.wake(NOW + 1)
    assert ours.receive(OTHER, message, NOW + 1) == []
    [entry] = ours.catalog.in_order()
    assert entry.stamp == MS + 1000
    assert ours.catalog.offer(update, "10.1.2.3", "lab1", NOW + 60) == []
    again = sent(ours.wake(NOW + 61))
    assert [type(each) for each in again] == [Lines, Compare]


def test_a_fast_clock_is_not_believed_but_kept_in_order() -> None:
    spreading = sharing()
    spreading.receive(OTHER, told(text(), stamp=MS + 9000), NOW)
    [entry] = spreading.catalog.in_order()
    assert entry.heard == int(NOW)
    assert entry.expires == NOW + LIFETIME_S
    update = b'{"type":"x","port":7}'
    spreading.catalog.offer(update, "10.1.2.3", "lab1", NOW + 1)
    [newer] = spreading.catalog.in_order()
    assert (newer.stamp, newer.heard) == (MS + 9001, int(NOW) + 1)
    spreading.receive(OTHER, told(text(), stamp=MS + 9000), NOW + 2)
    assert spreading.catalog.in_order() == [newer]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"[]",
        b"type x\n",
        b"\x1a" + b"x" * 9,
        text(address=""),
        text(address=7),
        text(name="two words"),
        text(name=None),
        text(name="x" * 129),
        text(name="x" * 128, address="x" * 128, uuid="x" * 99),
        text(says="x" * 65_536),
        text(says="\ud800"),
    ],
)
def test_what_is_no_record_is_not_kept(bad: bytes) -> None:
    spreading = sharing()
    effects = spreading.receive(OTHER, told(bad, text(8)), NOW)
    assert [entry.key for entry in spreading.catalog.in_order()] == ["10.1.2.3:8:lab1"]
    [effect] = effects
    assert isinstance(effect, Emit)
    assert isinstance(effect.fact, Heard)


def test_a_time_far_ahead_is_refused() -> None:
    spreading = sharing()
    stamp = MS + AHEAD_MS + 1
    spreading.receive(OTHER, told(text(), stamp=stamp), NOW)
    spreading.receive(OTHER, Lines((Line("a:1:b", stamp, 1, 9, ended=True),)), NOW)
    assert not spreading.catalog.entries
    assert not spreading.catalog.ended
    assert spreading.refused == 2


def test_a_full_catalog_takes_no_more_and_asks_for_none() -> None:
    spreading = sharing()
    for start in range(0, MAX_RECORDS + 500, 500):
        batch = [text(port) for port in range(start, start + 500)]
        spreading.receive(OTHER, told(*batch), NOW)
    assert len(spreading.catalog.entries) == MAX_RECORDS
    line = Line("10.1.2.3:-1:lab1", MS, 5, 100)
    assert sent(spreading.receive(OTHER, Lines((line,)), NOW)) == []
    ends = tuple(Line(f"k{n}", MS, 1, 900, ended=True) for n in range(2 * MAX_RECORDS))
    spreading.receive(OTHER, Lines(ends), NOW)
    assert len(spreading.catalog.ended) == MAX_RECORDS


def test_what_is_asked_for_comes_in_batches() -> None:
    spreading = sharing()
    keys = [f"10.1.2.3:{port}:lab1" for port in range(9)]
    for port in range(9):
        words = b'{"port":%d,"says":"%b"}' % (port, b"x" * 20_000)
        spreading.catalog.offer(words, "10.1.2.3", "lab1", NOW)
    [answer] = sent(spreading.receive(OTHER, Want(3, ("nosuch", *keys)), NOW))
    assert isinstance(answer, Told)
    assert answer.number == 3
    assert answer.answered == 1 + len(answer.records)
    assert sum(len(each.text) for each in answer.records) < BATCH_BYTES + 21_000


@pytest.mark.parametrize(
    "update",
    [
        b'{"says":[1' + b",1" * (MAX_ELEMENTS - 2) + b"]}",
        b"type x\nsays [1" + b",1" * (MAX_ELEMENTS - 4) + b"]\n",
    ],
)
def test_whatever_one_takes_another_can_read(update: bytes) -> None:
    ours, theirs = sharing(), sharing()
    ours.catalog.offer(update, "10.1.2.3", "lab1", NOW)
    ours.receive(OTHER, Here(), NOW)
    for message in sent(ours.wake(NOW)):
        theirs.receive(OTHER, message, NOW)
    assert theirs.catalog.entries.keys() == ours.catalog.entries.keys()


def test_who_comes_later_gets_everything() -> None:
    old, new = sharing(), Spreading(OTHER, Catalog(NOW), NOW)
    for port in range(3000):
        old.catalog.offer(b'{"type":"x","port":%d}' % port, "10.1.2.3", None, NOW)
    old.wake(NOW)
    waiting = [(new, old, message) for message in sent(new.meet([OTHER, ME], NOW))]
    steps = 0
    while waiting:
        teller, hearer, message = waiting.pop(0)
        message = decoded(DECODER, ENCODE(message))
        effects = hearer.receive(teller.me, message, NOW + 1)
        waiting += [(hearer, teller, each) for each in sent(effects)]
        steps += 1
    assert new.outline.sums() == old.outline.sums()
    assert len(new.catalog.entries) == 3000
    assert steps < 60


def test_greetings_become_rare_and_who_left_is_forgotten() -> None:
    spreading = sharing()
    greeted = [
        at
        for at in range(200)
        if sent(spreading.meet([ME, OTHER], NOW + at)) == [Here()]
    ]
    assert greeted == [0, 5, 10, *range(25, 200, 15)]
    spreading.receive(OTHER, Here(), NOW)
    assert sent(spreading.meet([ME, OTHER], NOW + 999)) == []
    spreading.meet([ME], NOW)
    assert not spreading.others


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    spreading = sharing()
    spreading.receive(OTHER, Here(), NOW)
    spreading.wake(NOW + 5000)
    spreading.catalog.offer(b'{"port":1}', "10.1.2.3", None, NOW)
    assert len(sent(spreading.wake(NOW))) == 2


def test_ends_are_remembered_across_a_restart() -> None:
    catalog, disk = Catalog(NOW), SimulatedDisk()
    catalog.shared = True
    history = History(disk)
    history.begin([], NOW)
    effects = catalog.offer(b'{"port":1,"lifetime":1}', "10.1.2.3", None, NOW)
    effects += catalog.wake(NOW + 2)
    history.append([effect.fact for effect in effects])
    for _ in range(2):
        again = History(disk)
        ended = again.ended(LIFETIME_S, NOW + 3)
        assert [(key, each.stamp) for key, each in ended.items()] == [
            ("10.1.2.3:1:10.1.2.3", MS)
        ]
        assert again.recover() == []
        catalog.ended = ended
        again.begin([], NOW + 3, catalog.endings(NOW + 3))
    assert History(disk).ended(LIFETIME_S, NOW + 5000) == {}


def test_the_longest_messages_are_shorter_than_a_frame() -> None:
    line = Line("x" * MAX_KEY, 2**62 - 1, 2**62 - 1, MAX_MS, MAX_MS, ended=True)
    all_there_are = Lines((line,) * 2 * MAX_RECORDS, tuple(range(PARCELS)))
    assert len(ENCODE(all_there_are)) < MAX_BODY_BYTES
    assert len(ENCODE(Compare((2**62 - 1,) * PARCELS))) < 5000
    assert all(0 <= parcel_of(f"k{n}") < PARCELS for n in range(100))


@settings(max_examples=300, deadline=None)
@given(st.integers(), st.lists(st.integers(0, 255), max_size=6))
def test_damaged_messages_end_nothing(seed: int, noise: list[int]) -> None:
    rng, spreading = Random(seed), sharing()
    spreading.catalog.ended["10.1.2.3:7:lab1"] = Ended(MS, 1, NOW + 9)
    lines = Lines((Line("10.1.2.3:7:lab1", MS + 1, 5, 9, ended=seed % 2 == 0),), (1, 5))
    whole: list[SpreadMessage] = [Here(), lines, told(text()), Want(1, ("k",))]
    for message in whole:
        data = bytearray(ENCODE(message))
        for byte in noise:
            data[rng.randrange(len(data))] = byte
        try:
            heard = decoded(DECODER, data)
        except MalformedMessage:
            continue
        for effect in spreading.receive(OTHER, heard, NOW):
            if isinstance(effect, Send):
                decoded(DECODER, ENCODE(effect.message))
    spreading.wake(NOW + 10)
