"""The catalog's pages as curl gets them: packed, asked for again, of the past."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from shoal.catalog.page.files import parts
from tests.end_to_end.cataloguing import Catalog, serving
from tests.end_to_end.cluster import Cluster, wait_until


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    user = Cluster(tmp_path_factory.mktemp("home"))
    history = tmp_path_factory.mktemp("history")
    with serving(user, "--history", str(history)) as found:
        for port in range(40):
            found.tell(json.dumps({"type": "x", "port": port}).encode())
        found.wait_records(40)
        yield found
    user.stop()


def curl(catalog: Catalog, path: str, *options: str) -> tuple[int, str, str]:
    """Status, head and body."""
    command = ("curl", "-sS", "--max-time", "20", "-i", *options)
    url = f"http://{catalog.address}{path}"
    answer = subprocess.run(
        [*command, url], capture_output=True, check=True, timeout=30
    )
    head, _, body = answer.stdout.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def test_a_page_is_the_same_packed_or_not(catalog: Catalog) -> None:
    status, head, body = curl(catalog, "/?sort=-port")
    assert status == 200
    assert "Content-Encoding" not in head
    assert f"Content-Length: {len(body.encode())}" in head
    status, head, unpacked = curl(catalog, "/?sort=-port", "--compressed")
    assert (status, "Content-Encoding: gzip" in head) == (200, True)
    assert ageless(unpacked) == ageless(body)
    ports = re.findall(r"<td>(\d+)<td>", unpacked)
    assert ports == [str(port) for port in range(39, -1, -1)]


def ageless(page: str) -> str:
    return re.sub(r'data-now="\d+"|\d+ s ago', "", page)


def test_programs_get_theirs_as_they_are(catalog: Catalog) -> None:
    for path in ("/query.json", "/query.text", "/query/dHJ1ZQ=="):
        status, head, _ = curl(catalog, path, "--compressed")
        assert status == 200
        for name in ("Content-Encoding", "ETag", "Vary", "Content-Security-Policy"):
            assert name not in head
    assert curl(catalog, "/query.json?sort=port")[0] == 404


@pytest.mark.parametrize("path", ["/", "/?filter=x", "/page.js", "/page.css", "detail"])
def test_who_has_it_gets_a_few_letters(catalog: Catalog, path: str) -> None:
    if path == "detail":
        found = re.search(r'href="(/detail/[^"]+)"', curl(catalog, "/")[2])
        assert found
        path = found[1]
    _, head, body = curl(catalog, path)
    part = path in parts()
    tag = re.search(r'ETag: "(.*)"' if part else r'data-tag="(.*)"', head + body)
    assert tag
    assert ("ETag" in head) == part  # A browser's copy of a page tells old times.
    known = ("-H", f'If-None-Match: "{tag[1]}"')
    status, head, nothing = curl(catalog, path, *known)
    assert (status, nothing) == (304, "")
    assert body
    assert curl(catalog, path, "-H", 'If-None-Match: "other"')[0] == 200


def test_what_the_pages_need_is_served_and_may_run(catalog: Catalog) -> None:
    for path, part in parts().items():
        status, head, body = curl(catalog, path)
        assert (status, body.encode()) == (200, part.body)
        assert f"Content-type: {part.kind}" in head
    assert "text/javascript" in curl(catalog, "/page.js", "-I")[1]


def test_the_past_has_pages_too(catalog: Catalog) -> None:
    def page() -> str:
        return curl(catalog, "/history/9999999999/?sort=port")[2]

    wait_until(lambda: page().count("<tr>") > 40, 20, "the history to be written")
    assert "As it was on Sat Nov 20 17:46:39 2286." in page()
    link = re.search(r'href="(/history/9999999999/detail/[^"]+)"', page())
    assert link
    assert "lastheardfrom" in curl(catalog, link[1])[2]
    assert curl(catalog, "/history/999999999999/")[0] == 200
    assert "Unknown Item!" in curl(catalog, "/history/1/detail/x")[2]
