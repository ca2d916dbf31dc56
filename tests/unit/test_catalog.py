"""What a catalog takes, keeps, and lets go of. Time is a number here."""

import json
import math
import zlib
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.catalog.messages import (
    LIFETIME_S,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_RECORDS,
    MAX_UPDATE_BYTES,
    Forgotten,
    Heard,
    said,
)
from shoal.catalog.protocol import FEW, Catalog, Effects
from shoal.catalog.updates import decode
from shoal.errors import MalformedMessage, Overloaded

NOW = 1_700_000_000.0
HERE = "127.0.0.1"


def fields(**more: object) -> bytes:
    return json.dumps({"type": "hashtable", "port": 1, **more}).encode()


def records(catalog: Catalog) -> list[dict[str, Any]]:
    return [entry.fields for entry in catalog.in_order()]


def squeezed(data: bytes) -> bytes:
    return b"\x1a" + zlib.compress(data)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(NOW)


def test_a_record_says_who_when_and_where_first(catalog: Catalog) -> None:
    catalog.offer(fields(project="p"), "10.1.2.3", "lab1", NOW)
    [entry] = catalog.in_order()
    assert entry.key == "10.1.2.3:1:lab1"
    assert entry.text == (
        b'{"name":"lab1","lastheardfrom":1700000000,"address":"10.1.2.3",'
        b'"type":"hashtable","port":1,"project":"p"}'
    )
    assert entry.fields == json.loads(entry.text)


def test_2_11_nobody_speaks_for_another_host(catalog: Catalog) -> None:
    forged = (
        b'{"type":"x","name":"bank","address":"9.9.9.9","lastheardfrom":9999999999,'
        b'"address":"8.8.8.8"}'
    )
    catalog.offer(forged, "10.0.0.7", "lab7", NOW)
    [entry] = catalog.in_order()
    assert entry.text.count(b'"address"') == entry.text.count(b'"lastheardfrom"') == 1
    assert b"bank" not in entry.text
    assert records(catalog)[0]["address"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("sent", "host", "name"),
    [
        ("lab1", None, "lab1"),
        ("lab1", "dns.example", "dns.example"),
        (None, None, "10.0.0.7"),
        (17, None, "10.0.0.7"),
        ("two words", None, "10.0.0.7"),
        ("x" * 500, None, "10.0.0.7"),
        ("", None, "10.0.0.7"),
        ("é", None, "10.0.0.7"),
    ],
)
def test_names(catalog: Catalog, sent: object, host: str | None, name: str) -> None:
    catalog.offer(fields(name=sent), "10.0.0.7", host, NOW)
    assert records(catalog)[0]["name"] == name


@pytest.mark.parametrize(
    ("port", "uuid", "key"),
    [
        (20, None, "a:20:h"),
        (-7, None, "a:-7:h"),
        ("20", None, "a:0:h"),
        (21.7, None, "a:0:h"),
        (True, None, "a:0:h"),
        (1, "u-1", "a:1:h:u-1"),
        (1, "u 1\n", "a:1:h:u_1_"),
        (1, "u" * 200, "a:1:h:" + "u" * 128),
        (1, 17, "a:1:h"),
    ],
)
def test_keys(catalog: Catalog, port: object, uuid: object, key: str) -> None:
    catalog.offer(json.dumps({"port": port, "uuid": uuid}).encode(), "a", "h", NOW)
    assert [entry.key for entry in catalog.in_order()] == [key]


def test_an_update_replaces_the_record_of_its_key(catalog: Catalog) -> None:
    catalog.offer(fields(load=1), HERE, None, NOW)
    catalog.offer(fields(port=2), HERE, None, NOW)
    catalog.offer(b'{"type":"other","port":1}', HERE, None, NOW + 5)
    assert [(r["type"], r["port"]) for r in records(catalog)] == [
        ("other", 1),
        ("hashtable", 2),
    ]
    assert "load" not in records(catalog)[0]
    assert catalog.of_types(frozenset(["hashtable"])) == catalog.in_order()[1:]


def test_records_stand_by_name_whatever_its_letters(catalog: Catalog) -> None:
    for name in ("b", "A", "c", "B"):
        catalog.offer(fields(name=name), HERE, None, NOW)
    assert [r["name"] for r in records(catalog)] == ["A", "B", "b", "c"]


# Time


def test_2_6_a_record_ends_a_lifetime_after_its_last_update(catalog: Catalog) -> None:
    catalog.offer(fields(), HERE, None, NOW)
    catalog.offer(fields(port=2), HERE, None, NOW)
    last = NOW + LIFETIME_S - 1
    assert catalog.wake(last) == []
    catalog.offer(fields(), HERE, None, last)
    [gone] = catalog.wake(NOW + LIFETIME_S)
    assert gone.fact == Forgotten("127.0.0.1:2:127.0.0.1", NOW + LIFETIME_S)
    assert [r["port"] for r in records(catalog)] == [1]
    assert catalog.wake(last + LIFETIME_S - 0.5) == []
    assert len(catalog.wake(last + LIFETIME_S)) == 1
    assert catalog.deadline == math.inf


def test_a_record_may_ask_for_less_time_and_never_for_more(catalog: Catalog) -> None:
    for port, lifetime in enumerate((5, 10**6, "5", -1, 0, 2.5)):
        catalog.offer(fields(port=port, lifetime=lifetime), HERE, None, NOW)
    catalog.wake(NOW + 5)
    assert [r["port"] for r in records(catalog)] == [1, 2, 3, 4, 5]
    catalog.wake(NOW + LIFETIME_S)
    assert records(catalog) == []


def test_who_leaves_is_gone_a_second_later(catalog: Catalog) -> None:
    catalog.offer(fields(), HERE, None, NOW)
    catalog.offer(fields(lifetime=1, leaving=1), HERE, None, NOW + 60)
    assert records(catalog)[0]["leaving"] == 1
    assert catalog.deadline == NOW + 61
    catalog.wake(NOW + 61)
    assert records(catalog) == []


def test_a_clock_that_is_set_back_keeps_nobody(catalog: Catalog) -> None:
    catalog.offer(fields(), HERE, None, NOW)
    catalog.offer(fields(), HERE, None, NOW - 5000)
    assert catalog.deadline == NOW - 5000 + LIFETIME_S
    assert catalog.wake(NOW - 5000 + LIFETIME_S - 1) == []
    assert len(catalog.wake(NOW - 5000 + LIFETIME_S)) == 1
    assert catalog.wake(NOW + LIFETIME_S) == []


def test_what_is_due_does_not_pile_up(catalog: Catalog) -> None:
    for n in range(10_000):
        catalog.offer(fields(lifetime=1000 + n % 2), HERE, None, NOW + n / 1000)
    assert len(catalog._expiries) < 10
    assert catalog.wake(NOW + 999) == []
    catalog.wake(NOW + 1012)
    assert not catalog.entries
    assert not catalog._expiries


def test_lifetimes_that_shrink_do_not_pile_up(catalog: Catalog) -> None:
    for port in range(20):
        for lifetime in range(LIFETIME_S, LIFETIME_S - 500, -1):
            catalog.offer(fields(port=port, lifetime=lifetime), HERE, None, NOW)
    assert len(catalog._expiries) <= 2 * 20 + FEW
    assert catalog.wake(NOW + LIFETIME_S - 500) == []
    assert len(catalog.wake(NOW + LIFETIME_S - 499)) == 20
    assert not catalog.entries


def test_an_unchanged_record_is_kept_again_now_and_then(catalog: Catalog) -> None:
    told: Effects = []
    for minute in range(30):
        told += catalog.offer(fields(), HERE, None, NOW + 60 * minute)
    assert [int(each.fact.at - NOW) for each in told] == [0, 480, 960, 1440]
    assert records(catalog)[0]["lastheardfrom"] == NOW + 29 * 60


@pytest.mark.parametrize("seed", range(20))
def test_against_a_dumb_catalog(seed: int) -> None:
    rng, now = Random(seed), NOW
    catalog, dumb = Catalog(now, lifetime_s=50), dict[str, tuple[float, int]]()
    for _ in range(400):
        now += rng.choice((0.0, 0.3, 1.0, 7.0))
        catalog.wake(now)
        dumb = {key: it for key, it in dumb.items() if it[0] > now}
        port, lifetime = rng.randrange(5), rng.choice((3, 20, 50, 99))
        load, address = rng.randrange(2), rng.choice(("a", "b"))
        sent = fields(port=port, lifetime=lifetime, load=load)
        catalog.offer(sent, address, None, now)
        dumb[f"{address}:{port}:{address}"] = (now + min(lifetime, 50), load)
        found = {entry.key: entry.fields["load"] for entry in catalog.in_order()}
        assert found == {key: it[1] for key, it in dumb.items()}
        chosen = catalog.of_types(frozenset(["hashtable", "none"]))
        assert chosen == catalog.in_order()
        assert catalog._size_bytes == sum(e.size_bytes for e in catalog.in_order())


# What is taken


def test_2_14_compressed_updates_are_as_plain_ones(catalog: Catalog) -> None:
    catalog.offer(squeezed(fields()), HERE, None, NOW)
    assert records(catalog)[0]["type"] == "hashtable"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"{}", {}),
        (b'{"a":1,}', {"a": 1}),
        (b'{"a":1, # remark\n "b":[1,2,],}', {"a": 1, "b": [1, 2]}),
        (b'{"a":1}{"b":2}', {"a": 1}),
        (b'{"a":1} trailing', {"a": 1}),
        (b'{"a":1,"b":', {"a": 1}),
        (b'{"a":1,', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 1}),
        (b'{ "o": {"a":1,"a":2} }', {"o": {"a": 1}}),
        (b'{"a":"\\u0041\\u00e9\\ud83d\\ude00"}', {"a": "A\u00e9\U0001f600"}),
        (b'{"a":"\\u0000b"}', {"a": "?b"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        ('{"a":"é"}'.encode(), {"a": "é"}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":99999999999999999999}', {"a": 2**63 - 1}),
        (b'{"a":-99999999999999999999}', {"a": -(2**63)}),
        (b'{"a":1e3}', {"a": 1000.0}),
        (b"type catalog\nport 9097\n", {"type": "catalog", "port": 9097}),
        (
            b"type x\nname a b\nload 0.5\nok true\nno null\nl [1,2]\nv 1.2.3\n\n",
            {
                "type": "x",
                "name": "a b",
                "load": 0.5,
                "ok": True,
                "no": None,
                "l": [1, 2],
                "v": "1.2.3",
            },
        ),
    ],
)
def test_what_is_read(data: bytes, wanted: dict[str, Any]) -> None:
    assert decode(data) == wanted
    assert decode(squeezed(data)) == wanted


def nested(depth: int) -> bytes:
    return b'{"type":"x","a":' + b"[" * depth + b"]" * depth + b"}"


JUNK = [
    *(b"{", b"{ # no more", b'{"a":'),
    *(
        b"",
        b" ",
        b"\0",
        b"\x1a",
        b"hello",
        b"hello world",
        b"[]",
        b"[1]",
        b'"x"',
        b"null",
    ),
    b'{"a"',
    *(b'{"a" 1}', b"{a:1}", b'{"a":x}', b'{"a":1+1}', b'{"a":NaN}', b'{"a":[1'),
    *(b'{"a":1e999}', b'{"a":-1e999}', b'{"a":Infinity}', b'{"a":"\\ud800"}'),
    *(b' {"a":1}', b"GET / HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    *(b"\x1a" + b"junk", b"\x1a" + zlib.compress(b'{"a":1}')[:-3], b"\x1f\x8b\x08\0"),
    *(b"name only\nno type\n", b"type\n", b"1type x\n", b"\xff" * 70_000),
    *(Random(1).randbytes(70_000), b"x" * 70_000, b"{" * 70_000, b"[" * 70_000),
    *(nested(MAX_DEPTH + 1), nested(1000), nested(100_000), b'{"a":' * 10_000),
    b'{"a":"' + b"x" * 65_536 + b'"}',
    b"type x\nsays [1" + b",1" * MAX_ELEMENTS + b"]\n",
    *(b'{"a":[' + b"1," * MAX_ELEMENTS + b"1]}", squeezed(b"{" + b'"":0,' * 90_000)),
    b'{"type":"x","a":"' + b"x" * MAX_UPDATE_BYTES + b'"}',
    squeezed(b'{"type":"x","a":"' + b"0" * 100_000_000 + b'"}'),
    squeezed(squeezed(fields())),
]


@pytest.mark.parametrize("data", JUNK, ids=lambda data: repr(data[:20]))
def test_2_13_junk_makes_no_record(catalog: Catalog, data: bytes) -> None:
    catalog.offer(fields(), HERE, None, NOW)
    before = records(catalog)
    with pytest.raises(MalformedMessage):
        catalog.offer(data, HERE, None, NOW + 1)
    assert records(catalog) == before
    assert catalog.junk == 1


def test_the_largest_is_kept_and_read_again(catalog: Catalog) -> None:
    parts = {f"k{n}": "x" * 65_000 for n in range(16)}
    largest = fields(**parts)
    assert MAX_UPDATE_BYTES * 0.98 < len(largest) <= MAX_UPDATE_BYTES
    catalog.offer(largest, HERE, None, NOW)
    catalog.offer(nested(MAX_DEPTH), "b", None, NOW)
    commas = "," * 60_000  # Within a string they are letters.
    catalog.offer(fields(a=commas), "c", None, NOW)
    assert records(catalog)[2]["a"] == commas
    assert records(catalog)[0] | parts == records(catalog)[0]


def test_a_full_catalog_refuses_what_is_new(catalog: Catalog) -> None:
    for port in range(MAX_RECORDS):
        catalog.offer(b'{"port":%d}' % port, HERE, None, NOW)
    with pytest.raises(Overloaded):
        catalog.offer(b'{"port":-1}', HERE, None, NOW)
    catalog.offer(b'{"port":5,"load":1}', HERE, None, NOW + 1)
    catalog.wake(NOW + LIFETIME_S)
    catalog.offer(b'{"port":-1}', HERE, None, NOW + LIFETIME_S)
    assert len(catalog.entries) == 2


words = st.sampled_from(
    ['{"a":', "1", '"x"', ",", "}", "[", "]", "\\u0000", "type x\n"]
)
noise = st.binary(max_size=60) | st.lists(words, max_size=20).map(
    lambda parts: "".join(parts).encode()
)


@settings(max_examples=1500, deadline=None)
@given(noise, st.booleans())
def test_any_bytes_are_a_record_or_malformed(data: bytes, squeeze: bool) -> None:
    catalog = Catalog(NOW)
    with suppress(MalformedMessage):
        [effect] = catalog.offer(squeezed(data) if squeeze else data, HERE, None, NOW)
        assert isinstance(effect.fact, Heard)
        [entry] = catalog.in_order()
        assert json.loads(entry.text) == entry.fields
        assert b"\\u0000" not in entry.text.replace(b"\\\\", b"")


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=5))
def test_what_a_record_says_is_found_in_its_text(told: dict[str, str]) -> None:
    """Who asks for a string passes over what lacks it, and over nothing else."""
    catalog = Catalog(NOW)
    with suppress(MalformedMessage):
        catalog.offer(fields(**told), HERE, None, NOW)
    for entry in catalog.in_order():
        has = {k: v for k, v in entry.fields.items() if isinstance(v, str)}
        assert entry.may_say([said(*each) for each in has.items()])
        assert not entry.may_say([said("type", "hashtabl")])
