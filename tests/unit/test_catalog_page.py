"""The catalog's pages, made of records that a test has chosen."""

import gzip
import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from sys import getsizeof

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.catalog.answers import Answer, unchanged
from shoal.catalog.page.columns import COLUMNS
from shoal.catalog.page.detail import detail
from shoal.catalog.page.files import parts
from shoal.catalog.page.frame import Moment
from shoal.catalog.page.listing import MAX_SUMS, MAX_TYPES, PAGE_ROWS
from shoal.catalog.page.view import View, address, read
from shoal.catalog.protocol import Catalog
from shoal.catalog.requests import Look, heading, understand
from shoal.catalog.words import ago, size
from shoal.errors import MalformedMessage
from tests.unit.pages import NOW, page_of

Fields = Mapping[str, object]


class Reader(HTMLParser):
    """The texts of a table's body, row by row, and every tag there is."""

    def __init__(self, page: Answer) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.sums: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._part: list[list[str]] | None = None
        self.feed(page.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        match tag:
            case "tbody":
                self._part = self.rows
            case "tfoot":
                self._part = self.sums
            case "tr" if self._part is not None:
                self._part.append([])
            case "td" | "th" if self._part is not None:
                self._part[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tbody", "tfoot"):
            self._part = None

    def handle_data(self, data: str) -> None:
        if self._part and self._part[-1]:
            self._part[-1][-1] += data.strip("\n")

    def column(self, name: str) -> list[str]:
        place = [column.name for column in COLUMNS].index(name)
        return [row[place] for row in self.rows]


def catalog_of(*records: Fields) -> Catalog:
    """Each from an address of its own, heard one second after the other."""
    catalog = Catalog(NOW)
    for n, fields in enumerate(records):
        data = json.dumps({"port": n, **fields}).encode()
        catalog.offer(data, f"10.0.0.{n % 250}", None, NOW + n)
    return catalog


def seen(catalog: Catalog, query: str = "", now: int = NOW) -> Reader:
    return Reader(page_of(catalog.in_order(), query, now=now))


# Order, filter, pages


def test_numbers_come_by_size_and_the_silent_last_however_they_are_turned() -> None:
    loads: list[object] = [3, 20.5, None, "much", -1, True, [1], 10**18]
    catalog = catalog_of(*({"load": load} for load in loads))
    up = ["-1.00", "3.00", "20.50", "1e+18", "[1]", "much", "true", ""]
    assert seen(catalog, "sort=load").column("load") == up
    down = ["1e+18", "20.50", "3.00", "-1.00", "true", "much", "[1]", ""]
    assert seen(catalog, "sort=-load").column("load") == down


def test_texts_come_by_letters_and_equals_by_name() -> None:
    owners = [("b", "z"), ("B", "y"), ("a", "x"), ("b", "w"), (None, "v")]
    catalog = catalog_of(*({"owner": o, "name": name} for o, name in owners))
    assert seen(catalog).column("name") == list("vwxyz")
    assert seen(catalog, "sort=owner").column("name") == list("xwyzv")
    assert seen(catalog, "sort=-owner").column("name") == list("wyzxv")


def test_who_was_heard_last_is_found_first() -> None:
    catalog = catalog_of({}, {}, {})
    page = seen(catalog, "sort=-heard", now=NOW + 100)
    assert page.column("heard") == ["98 s ago", "99 s ago", "100 s ago"]
    assert page.column("port") == ["2", "1", "0"]


def test_a_filter_looks_at_every_value_and_at_no_name() -> None:
    long = {"pad": "x" * 9000, "end": "Nadel"}
    catalog = catalog_of(
        {"owner": "Ada"}, {"deep": [{"a": "nadel"}]}, long, {"nadel": 1}
    )
    assert seen(catalog, "filter=ADA").column("port") == ["0"]
    assert seen(catalog, "filter=+NADEL+").column("port") == ["1", "2"]
    assert seen(catalog, "filter=lastheardfrom").rows == []
    assert b"No record says that." in page_of(catalog.in_order(), "filter=zz").body
    assert b"Nobody has announced anything." in page_of([]).body


def numbered(count: int) -> list[str]:
    return [f"n{n:04}" for n in range(count)]


def test_pages_hold_all_records_once() -> None:
    catalog = catalog_of(*({"name": name} for name in numbered(2 * PAGE_ROWS + 1)))
    found = [seen(catalog, f"page={page}").column("name") for page in (1, 2, 3)]
    assert [len(each) for each in found] == [PAGE_ROWS, PAGE_ROWS, 1]
    assert [*found[0], *found[1], *found[2]] == [
        f"n{n:04}" for n in range(2 * PAGE_ROWS + 1)
    ]
    assert seen(catalog, "page=999999").column("name") == found[2]


def test_sums_are_of_all_that_was_found_by_type() -> None:
    rows = [{"type": "a", "cpus": 2, "memory": 1024}] * 3 + [{"type": "b", "cpus": "x"}]
    catalog = catalog_of(*rows)
    [a, b, both] = seen(catalog).sums
    assert a[:2] == ["a", "3 records"]
    assert a[6:9] == ["6", "3.00 GiB", ""]
    assert b[:2] == ["b", "1 record"]
    assert b[6:9] == ["", "", ""]
    assert both[:2] == ["all types", "4 records"]
    assert seen(catalog, "type=a&filter=2").sums == [a]


def test_a_thousand_types_are_not_all_offered() -> None:
    catalog = catalog_of(*({"type": f"t{n}", "cpus": 1} for n in range(1000)))
    page = seen(catalog, "type=t999")
    assert sum(tag == "option" for tag, _ in page.tags) <= MAX_TYPES + 2
    assert page.column("type") == ["t999"]
    sums = seen(catalog).sums
    assert len(sums) == MAX_SUMS + 2
    assert sums[-2][:2] == ["other types", f"{1000 - MAX_SUMS} records"]
    assert sums[-1][6] == "1,000"


def test_a_changed_record_is_shown_as_it_is_now() -> None:
    catalog = catalog_of({"owner": "ada"})
    assert seen(catalog).column("owner") == ["ada"]
    catalog.offer(b'{"port":0,"owner":"grace"}', "10.0.0.0", None, NOW + 9)
    page = seen(catalog, "filter=grace", now=NOW + 9)
    assert page.column("owner") == ["grace"]
    assert page.column("heard") == ["0 s ago"]


def test_letters_of_four_bytes_fill_no_memory() -> None:
    wide = "\U0001f600"
    sent = dict.fromkeys(("owner", "project", "host"), "'" * 79 + wide)
    sent |= {"type": "t" * 250 + wide, "says": wide + "x" * 250}
    catalog = catalog_of(sent)
    [entry] = catalog.in_order()
    assert seen(catalog, "filter=x&type=" + "t" * 250).column("owner")
    assert catalog.of_types(frozenset({sent["type"]})) == [entry]
    card = entry.card
    assert card
    assert card.words
    kept = (*card.values, card.row, entry.type)
    assert sum(map(getsizeof, kept)) < 3000
    assert getsizeof(card.words) < 1100


# Addresses

views = st.builds(
    View,
    sort=st.sampled_from([column.name for column in COLUMNS]),
    down=st.booleans(),
    type=st.text(max_size=20).filter(lambda said: max(said, default="") < "\ud800"),
    filter=st.text(max_size=20)
    .map(str.strip)
    .filter(lambda said: max(said, default="") < "\ud800"),
    page=st.integers(1, 999),
)


@settings(max_examples=300, deadline=None)
@given(views)
def test_every_view_has_an_address(view: View) -> None:
    assert read(address(view).removeprefix("?")) == view


@settings(max_examples=500, deadline=None)
@given(st.text() | st.from_regex(r"(sort|type|page|filter)=[-%a-z0-9&=+²]*"))
def test_any_question_is_a_view(query: str) -> None:
    view = read(query)
    assert view.sort in [column.name for column in COLUMNS]
    assert 1 <= view.page <= 10**6
    page_of(catalog_of({"type": "x"}).in_order(), query)


def test_only_pages_understand_a_question_mark() -> None:
    wanted = Look(View(sort="load", down=True, filter="a b"))
    for path in ("/", "/query.html"):
        assert understand(f"{path}?sort=-load&filter=a+b&type=&x=1") == wanted
        assert understand(path) == Look(View())
    for path in ("/query.json?x=1", "/page.js?1", "?sort=load", "//?sort=load"):
        answer = understand(path)
        assert isinstance(answer, Answer)
        assert answer.status == 404
    assert understand("/history/17/?sort=load") == Look(View(sort="load"), 17)


def test_the_past_links_to_the_past() -> None:
    entries = catalog_of({"type": "x"}).in_order()
    page = page_of(entries, base="/history/17", date="then")
    links = [attrs["href"] for tag, attrs in Reader(page).tags if tag == "a"]
    assert len(links) == 3 + len(COLUMNS) + 1
    assert all(link and link.startswith("/history/17/") for link in links)
    assert b"<script" not in page.body
    assert b"As it was on then." in page.body


# Whatever records say

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
names = st.sampled_from([c.name for c in COLUMNS] + ["uuid", "lifetime"]) | st.text()


# What a page of one record is made of, whatever it says.
TAGS = [tag for tag, _ in seen(catalog_of({"type": "x"})).tags if tag != "option"]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(names, anything, max_size=12), views)
def test_pages_are_made_of_any_record(fields: dict[str, object], view: View) -> None:
    catalog = Catalog(NOW)
    data = json.dumps(fields, default=str).encode()
    try:
        catalog.offer(data, "10.0.0.1", None, NOW)
    except MalformedMessage:
        return
    [entry] = catalog.in_order()
    order = address(View(sort=view.sort, down=view.down)).removeprefix("?")
    page = Reader(page_of([entry], order))
    assert len(page.rows) == 1
    assert [tag for tag, _ in page.tags if tag != "option"] == TAGS
    page_of([entry], address(view).removeprefix("?"))
    own = Reader(detail(entry, Moment(now=NOW, tag="t")))
    assert len(own.rows) == len(entry.fields)
    assert {tag for tag, _ in own.tags} <= {
        *("html", "meta", "title", "link", "script", "main", "p", "a", "section"),
        *("h1", "data", "table", "tbody", "tr", "th", "td", "pre", "small"),
    }


def test_long_texts_are_cut_in_the_table_and_whole_on_their_own_page() -> None:
    [entry] = catalog_of({"owner": "x" * 60_000, "type": "y" * 60_000}).in_order()
    assert len(page_of([entry]).body) < 10_000
    assert b"x" * 60_000 in detail(entry, Moment(now=NOW)).body


def test_a_record_has_memory_in_words() -> None:
    said = {"memory": 64021, "disk": "?", "l": [1, {"a": "<"}]}
    [entry] = catalog_of(said).in_order()
    page = detail(entry, Moment(now=NOW + 7200))
    rows = dict(Reader(page).rows)
    assert rows["memory"] == "64021 62.5 GiB"
    assert rows["disk"] == "?"
    assert rows["lastheardfrom"] == f"{NOW} 2 h ago"
    assert rows["l"] == '[\n  1,\n  {\n    "a": "<"\n  }\n]'
    assert b"Unknown Item!" in detail(None, Moment(now=NOW)).body


# Words


@pytest.mark.parametrize(
    ("megabytes", "words"),
    [
        (0, "0 MiB"),
        (15.6, "15.6 MiB"),
        (999, "999 MiB"),
        (1024, "1.00 GiB"),
        (64021, "62.5 GiB"),
        (1 << 20, "1.00 TiB"),
        (-2048, "-2.00 GiB"),
        (math.inf, "inf EiB"),
    ],
)
def test_sizes(megabytes: float, words: str) -> None:
    assert size(megabytes) == words


def test_how_long_ago() -> None:
    seconds = (-5, 0, 119, 120, 7199, 7200, 172_799, 172_800, 10**9)
    assert [ago(each) for each in seconds] == [
        *("0 s ago", "0 s ago", "119 s ago", "2 min ago", "119 min ago"),
        *("2 h ago", "47 h ago", "2 days ago", "11574 days ago"),
    ]


# Answers


def test_a_page_may_ask_nobody_but_its_catalog() -> None:
    page = page_of([])
    for each in (page, *parts().values(), unchanged("t")):
        head = each.head("D").decode()
        policy = re.search("Content-Security-Policy: (.*)\r\n", head)
        assert policy
        assert "unsafe" not in policy[1]
        assert policy[1].startswith("default-src 'none'; script-src 'self'; ")
        assert "nosniff" in head
    inline = {"style", "onclick", "onload"}
    assert not [tag for tag, attrs in Reader(page).tags if attrs.keys() & inline]
    assert "Content-Length" not in unchanged("t").head("D").decode()


def test_pages_are_packed_for_those_who_can_unpack_them() -> None:
    page = page_of(catalog_of({"type": "x"}).in_order())
    packed = page.packed()
    assert gzip.decompress(packed.body) == page.body
    assert "Content-Encoding: gzip" in packed.head("D").decode()
    assert f"Content-Length: {len(packed.body)}" in packed.head("D").decode()
    assert Answer(b"x" * 9999).packed().body == b"x" * 9999  # JSON and such.


@pytest.mark.parametrize("said", ["If-None-Match", "if-none-match ", "IF-NONE-MATCH"])
def test_headings(said: str) -> None:
    head = f'GET / HTTP/1.1\r\nHost: x\r\n{said}:  "a-1"\r\n\r\n'.encode()
    assert heading(head, b"if-none-match") == '"a-1"'
    assert heading(head, b"accept-encoding") == ""
