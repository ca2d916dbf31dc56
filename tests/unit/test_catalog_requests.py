"""What a request line means, whatever stands there; and which catalogs are meant."""

import json
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.catalog.announcements import MAX_TEXT, announcement
from shoal.catalog.answers import JSON, SHAPES, Answer
from shoal.catalog.page.detail import detail
from shoal.catalog.page.frame import Moment
from shoal.catalog.page.view import View
from shoal.catalog.protocol import Catalog
from shoal.catalog.requests import (
    Detail,
    Form,
    Look,
    Part,
    Select,
    first_line,
    understand,
)
from shoal.catalog.updates import decode
from shoal.cli.which import catalogs
from shoal.errors import InvalidAddress
from tests.unit.pages import page_of

NOW = 1_700_000_000.0

PARTS = [
    *("/", "query", "query.json", "history", "detail", "1", "99999999999999"),
    *("dHJ1ZQ==", "%", "%2F", "?", "..", "updates", "=", "+"),
]
some = st.lists(st.sampled_from(PARTS), max_size=8)
paths = st.text(max_size=40) | some.map("/".join)


@settings(max_examples=1000, deadline=None)
@given(paths, st.binary(max_size=60))
def test_any_line_is_understood_or_answered(path: str, junk: bytes) -> None:
    for head in (f"GET {path} HTTP/1.1\r\n\r\n".encode(errors="replace"), junk):
        if found := first_line(head):
            asked = understand(found[0])
            assert isinstance(asked, Form | Select | Look | Part | Detail | Answer)
            if isinstance(asked, Answer):
                assert b"\n\n" not in asked.head("D")


def test_the_whole_rest_of_the_path_is_the_filter() -> None:
    texts = ['"a?">""', 'x >""', 'type=="é"']
    encoded = [b64encode(text.encode()).decode() for text in texts]
    assert any("/" in each for each in encoded)
    assert any("+" in each for each in encoded)
    for each in encoded:
        assert isinstance(understand(f"/query/{each}"), Select)
        assert isinstance(understand(f"/query/{each.replace('=', '%3D')}"), Select)
        past = understand(f"/history/17/query/{each}")
        assert isinstance(past, Select)
        assert past.at == 17


def test_history_of_history_is_none() -> None:
    answer = understand("/history/1/history/2/query.json")
    assert isinstance(answer, Answer)
    assert answer.status == 404
    assert understand("/history/5") == Look(View(), 5)


RUDE = {
    "type": "</td><script>",
    "na\nme2": "line\nbreak",
    "port": 1.5,
    "l": ["<b>", {"<i>": 1}],
    "<u>": None,
}


def test_2_12_whatever_a_record_says_is_escaped() -> None:
    catalog = Catalog(NOW)

    catalog.offer(json.dumps(RUDE).encode(), "10.0.0.1", '"><script>', NOW)
    entries = catalog.in_order()
    moment = Moment(now=int(NOW), tag="t")
    pages = [page_of(entries), detail(entries[0], moment)]
    for page in pages:
        assert page.body.count(b"<script") == 1  # Our own.
        assert b"<b>" not in page.body
        assert b"<i>" not in page.body
        assert b"Content-Security-Policy: default-src 'none'" in page.head("D")
    lines = SHAPES["/query.text"].of(entries).body.decode().split("\n")
    assert "na me2 line break" in lines
    assert len(lines) == 3 + len(RUDE) + 2
    assert json.loads(JSON.of(entries).body)[0]["na\nme2"] == "line\nbreak"


# What we say to genuine catalogs

texts = st.text(max_size=300)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(texts, texts | st.integers(-9, 9) | st.none(), max_size=6))
def test_what_peers_announce_is_plain(values: dict[str, str | int | None]) -> None:
    known = ("name", "owner", "project", "uuid", "address", "lastheardfrom")
    fields = dict(zip(known, values.values(), strict=False))
    data = announcement({"type": "hashtable", **fields})
    assert all(32 <= byte < 127 for byte in data)
    assert b"\\u" not in data.replace(b"\\\\", b"")
    found = decode(data)
    assert not found.keys() & {"address", "lastheardfrom"}
    assert " " not in str(found.get("name", ""))
    assert all(len(v) <= MAX_TEXT for v in found.values() if isinstance(v, str))


@pytest.mark.parametrize(
    ("given", "port", "wanted"),
    [
        ("", None, ()),
        ("a", None, ("a:9097",)),
        ("a,b:1, c ,", None, ("a:9097", "b:1", "c:9097")),
        ("a,b:1", "5", ("a:5", "b:1")),
        ("[::1]:7,[::1]", None, ("[::1]:7", "[::1]:9097")),
    ],
)
def test_lists_of_catalogs(
    given: str,
    port: str | None,
    wanted: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CATALOG_PORT", raising=False)
    monkeypatch.delenv("CATALOG_HOST", raising=False)
    if port:
        monkeypatch.setenv("CATALOG_PORT", port)
    assert catalogs(given) == wanted
    monkeypatch.setenv("CATALOG_HOST", given)
    assert catalogs("") == wanted


def test_no_list_of_catalogs() -> None:
    with pytest.raises(InvalidAddress):
        catalogs("a:x")
