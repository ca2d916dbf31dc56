"""The catalog's page as people meet it: in a browser, with a script and without."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from shoal.catalog.words import ago
from tests.browser import Browser, Tab, browsing, program
from tests.end_to_end.cataloguing import Catalog, read_all, serving
from tests.end_to_end.cluster import Cluster

pytestmark = pytest.mark.skipif(
    program() is None, reason="Chromium is not installed: apt install chromium"
)

OWNERS = ("ada", "edsger", "grace")

# Each tries to be more than a text, in one of the ways there are.
BREAKERS = (
    "<script>alert(1)</script>",
    '"><img/src=x/onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "</title><script>alert(1)</script>",
    "</textarea></select></table></main><iframe/src=//elsewhere.example>",
    "${alert(1)}{{alert(1)}}`'\"",
    "--><script>alert(1)</script><!--",
    "</script><script>alert(1)</script>",
    '"/onmouseover="alert(1)"/autofocus/onfocus="alert(1)',
    "<style>*{display:none}</style>",
    "<base/href=//elsewhere.example/>",
    "<meta/http-equiv=refresh/content=0;url=//elsewhere.example>",
    "<script/src=/query.text></script>",
    "&lt;b&gt;&#0;&quot;%22%3Cscript%3E",
    "..\\../?#%00%0d%0a",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def crowd(sharer: Cluster) -> Iterator[Catalog]:
    """A thousand records, which stay."""
    with serving(sharer) as catalog:
        for n in range(1000):
            catalog.cast(json.dumps(record(n)).encode())
            if n % 250 == 249:
                catalog.wait_records(n + 1)
        yield catalog


@pytest.fixture
def catalog(user: Cluster) -> Iterator[Catalog]:
    with serving(user) as found:
        yield found


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    found = browser.tab()
    yield found
    found.call("Page.close")


def record(n: int) -> dict[str, Any]:
    kind = "hashtable" if n % 4 else "vine_manager"
    common = {"type": kind, "port": n + 1, "owner": OWNERS[n % 3], "project": f"p{n}"}
    return {**common, "cpus": n * 37 % 1000, "memory": 1024 * n} if n % 4 else common


def column(tab: Tab, place: int) -> list[str]:
    """What stands in a column of the table, from above."""
    rows = "Array.from(document.querySelectorAll('#rows tr'))"
    found = tab.evaluate(f"{rows}.map(row => row.cells[{place}].textContent)")
    return [str(each) for each in found]


def sorts_by(tab: Tab, name: str, way: str) -> None:
    """A column's title is clicked, and the table follows."""
    tab.click(f"#by-{name}")
    tab.wait(f"document.querySelector('th:has(#by-{name})').ariaSort == '{way}'")


def home(catalog: Catalog) -> str:
    return f"http://{catalog.address}/"


def nothing_happened(tab: Tab, catalog: Catalog) -> None:
    assert tab.troubles == []
    assert [url for url in tab.requests if not url.startswith(home(catalog))] == []


def test_a_thousand_records_by_any_column_both_ways(crowd: Catalog, tab: Tab) -> None:
    tab.open(home(crowd))
    assert "of 1,000 records" in tab.evaluate("document.body.innerText")
    assert len(column(tab, 0)) == 500
    tab.click("#next")
    tab.wait("document.querySelector('#count').textContent.startsWith('501 to')")
    assert len(column(tab, 0)) == 500
    before = len(tab.requests)
    cpus = sorted(r["cpus"] for r in map(record, range(1000)) if "cpus" in r)
    owners = sorted(record(n)["owner"] for n in range(1000))
    sorts_by(tab, "cpus", "descending")
    assert column(tab, 6) == [str(each) for each in reversed(cpus)][:500]
    sorts_by(tab, "cpus", "ascending")
    assert column(tab, 6) == [str(each) for each in cpus][:500]
    sorts_by(tab, "owner", "ascending")
    assert column(tab, 3) == owners[:500]
    sorts_by(tab, "owner", "descending")
    assert column(tab, 3) == owners[::-1][:500]
    assert len(tab.requests) <= before + 6  # No page was loaded anew.
    tab.evaluate("history.back()")
    tab.wait("document.querySelector('th:has(#by-owner)').ariaSort == 'ascending'")
    nothing_happened(tab, crowd)


def test_filter_open_one_and_come_back(crowd: Catalog, tab: Tab) -> None:
    tab.open(f"{home(crowd)}?sort=-port")
    tab.type("input[name=filter]", "P77")
    tab.wait("document.querySelector('#rows').rows.length == 11")
    assert column(tab, 4)[:2] == ["p779", "p778"]
    tab.evaluate(
        "types.value = 'vine_manager';"
        "types.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    tab.wait("document.querySelector('#rows').rows.length == 2")
    here = tab.evaluate("location.href")
    assert here == f"{home(crowd)}?sort=-port&type=vine_manager&filter=P77"
    tab.click("#rows tr:nth-child(2) a")
    tab.wait("document.querySelector('#record')?.innerText.includes('p772')")
    assert "Last heard from" in tab.evaluate("document.body.innerText")
    tab.click("#back")
    tab.wait(f"location.href == {json.dumps(here)} && self.rows?.rows.length == 2")
    assert tab.evaluate("document.forms[0].filter.value") == "P77"
    nothing_happened(tab, crowd)


def test_without_a_script_there_are_pages_and_a_form(crowd: Catalog, tab: Tab) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(f"{home(crowd)}?sort=port")
    seen = column(tab, 4)
    tab.click("#next")
    tab.wait("location.search.includes('page=2') && self.rows.rows.length")
    seen += column(tab, 4)
    assert seen == [f"p{n}" for n in range(1000)]
    tab.click("#by-port")
    tab.wait("location.search.includes('sort=-port') && self.rows.rows.length")
    assert column(tab, 4)[0] == "p999"
    tab.evaluate("document.forms[0].filter.value = 'p99'")
    tab.click("button")
    tab.wait("location.search.includes('filter=p99') && self.rows.rows.length")
    assert column(tab, 4) == [*(f"p{n}" for n in range(999, 989, -1)), "p99"]
    tab.click("#rows a")
    tab.wait("location.pathname.startsWith('/detail/')")
    assert "p999" in tab.evaluate("document.body.innerText")
    nothing_happened(tab, crowd)


def test_it_follows_what_happens_by_itself(catalog: Catalog, tab: Tab) -> None:
    catalog.tell(json.dumps({**record(1), "project": "first"}).encode())
    catalog.wait_records(1)
    tab.open(f"{home(catalog)}?sort=-port&filter=localhost")
    assert column(tab, 4) == ["first"]
    tab.evaluate("rows.rows[0].kept = true; document.querySelector('#rows a').focus()")
    catalog.tell(json.dumps({**record(2), "project": "second"}).encode())
    tab.wait("document.querySelector('#rows').rows.length == 2")
    assert column(tab, 4) == ["second", "first"]
    assert tab.evaluate("rows.rows[1].contains(document.activeElement)")
    assert tab.evaluate("rows.rows[1].kept")  # Its row was left alone.
    assert tab.evaluate("location.search") == "?sort=-port&filter=localhost"
    catalog.process.kill()
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    tab.wait("/has not answered since .*[0-9]/.test(state.textContent)")
    assert column(tab, 4) == ["second", "first"]


def test_script_and_catalog_have_the_same_words(crowd: Catalog, tab: Tab) -> None:
    tab.open(home(crowd))
    for seconds in (-5, 0, 1.9, 119, 120, 7199, 7200, 172_799, 172_800, 10**9):
        assert tab.evaluate(f"ago({seconds})") == ago(seconds)


def test_nothing_new_costs_a_few_letters(catalog: Catalog, tab: Tab) -> None:
    catalog.tell(json.dumps(record(1)).encode())
    catalog.wait_records(1)
    tab.open(home(catalog))
    asked = "fetch('/', {cache: 'no-store', headers: {'If-None-Match': "
    asked += '`"${main.dataset.tag}"`}}).then(reply => reply.status)'
    assert tab.evaluate(asked) == 304
    catalog.tell(json.dumps(record(2)).encode())
    catalog.wait_records(2)
    assert tab.evaluate(asked) == 200


def tell_rudely(catalog: Catalog, breaker: str, n: int) -> None:
    """A record that says it everywhere, from an address that has no name."""
    columns = ("owner", "project", "version", "cpus", "memory", "disk", "load", "host")
    rude = dict.fromkeys(("type", "name", "uuid", "url", *columns), breaker)
    more = {breaker: breaker, "port": n, "list": [breaker, {breaker: breaker}]}
    where = ("127.0.0.1", catalog.port + 1)
    with socket.create_connection(where, 20, ("127.0.0.77", 0)) as connection:
        connection.sendall(json.dumps({**rude, **more}).encode())
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""


def test_2_12_what_records_say_does_nothing(catalog: Catalog, tab: Tab) -> None:
    for n, breaker in enumerate(BREAKERS):
        tell_rudely(catalog, breaker, n)
    catalog.wait_records(len(BREAKERS))
    tab.open(f"{home(catalog)}?sort=port")
    title = "document.title == 'catalog server'"
    for n, breaker in enumerate(BREAKERS):
        assert column(tab, 0)[n] == column(tab, 1)[n] == column(tab, 3)[n] == breaker
    for breaker in BREAKERS:
        tab.open(f"{home(catalog)}?sort=port")
        tab.evaluate(
            f"types.value = {json.dumps(breaker)};"
            "types.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        tab.wait(f"rows.rows.length == 1 && {title}")
        assert column(tab, 1) == [breaker]
        tab.click("#rows a")
        tab.wait("location.pathname.startsWith('/detail/') && self.record")
        assert tab.evaluate("record.innerText").count(breaker) >= 12
        assert tab.evaluate("document.title") == breaker
        tab.open(f"{home(catalog)}?sort=port&filter={quote(breaker, safe='')}")
        assert column(tab, 0) == [each for each in BREAKERS if breaker in each]
        assert tab.evaluate("document.forms[0].filter.value") == breaker
    made = "main :is(script, img, svg, iframe, base, meta, style)"
    assert tab.evaluate(f"document.querySelectorAll('{made}').length") == 0
    nothing_happened(tab, catalog)
