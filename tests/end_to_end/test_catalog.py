"""A catalog as other people's programs find it, byte for byte, whatever they send."""

import json
import re
import socket
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import pytest

from shoal.catalog.ports import FREE_PORTS
from tests.end_to_end.cataloguing import REQUEST, Catalog, read_all, serving, written
from tests.end_to_end.cluster import Cluster, wait_until

HASHTABLE = {"type": "hashtable", "owner": "ada", "port": 1234, "project": "ada-a4"}

DATE = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z][a-z] [ 0-9]\d \d\d:\d\d:\d\d \d{4}"


@pytest.fixture(scope="module")
def shared(sharer: Cluster) -> Iterator[Catalog]:
    """For questions that change nothing."""
    with serving(sharer) as catalog:
        records = [
            HASHTABLE,
            {"type": "wq_manager", "name": "B", "port": 20, "l": [1, {"a": None}]},
            {"type": "catalog", "port": 9097, "up": True, "load": 0.5, "uuid": "u-1"},
        ]
        for each in records:
            catalog.tell(json.dumps(each).encode())
        catalog.wait_records(3)
        yield catalog


@pytest.fixture
def catalog(user: Cluster) -> Iterator[Catalog]:
    with serving(user) as found:
        yield found


def scrubbed(answer: bytes) -> bytes:
    """Without what is another every second."""
    answer = re.sub(b"Date: " + DATE + b"\r\n", b"Date: D\r\n", answer)
    return re.sub(rb'(lastheardfrom"?[:= ])\d{10}\b', rb"\g<1>T", answer)


def reply(body: bytes, status: str = "200 OK", kind: str = "text/plain") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nDate: D\r\nServer: catalog_server\r\n"
        "Connection: close\r\nAccess-Control-Allow-Origin: *\r\n"
        f"Content-type: {kind}; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


ONE = (
    b'{"name":"localhost","lastheardfrom":T,"address":"127.0.0.1","type":"hashtable",'
    b'"owner":"ada","port":1234,"project":"ada-a4"}'
)
TWO = (
    b'{"name":"localhost","lastheardfrom":T,"address":"127.0.0.1","type":"wq_manager",'
    b'"port":20,"l":[1,{"a":null}]}'
)
THREE = (
    b'{"name":"localhost","lastheardfrom":T,"address":"127.0.0.1","type":"catalog",'
    b'"port":9097,"up":true,"load":0.5,"uuid":"u-1"}'
)
# By name, then by key: port 1234, port 20, port 9097.
EVERYTHING = b"[\n" + b",\n".join([ONE, TWO, THREE]) + b"\n]\n"


def query(text: str) -> str:
    return f"/query/{b64encode(text.encode()).decode()}"


TRANSCRIPTS = [
    ("/query.json", EVERYTHING),
    (query("true"), EVERYTHING),
    (query('type=="hashtable"'), b"[\n" + ONE + b"\n]\n"),
    (
        query('true and ((type=="wq_manager") or (type=="wq_master"))'),
        b"[\n%b\n]\n" % TWO,
    ),
    (
        query('true and ((type=="chirp") or (type=="catalog"))'),
        b"[\n" + THREE + b"\n]\n",
    ),
    (query('l[1]["a"] == null'), b"[\n" + TWO + b"\n]\n"),
    (query("nosuch!=1"), b"[\n\n]\n"),
    (query("1"), b"[\n\n]\n"),
    (query('load<1 or "?/?">"" and "???"!=""'), b"[\n%b\n]\n" % THREE),
    (
        "/query.newclassads",
        b'[\nname="localhost";\nlastheardfrom=T;\naddress="127.0.0.1";\n'
        b'type="hashtable";\nowner="ada";\nport=1234;\nproject="ada-a4";\n]\n'
        b'[\nname="localhost";\nlastheardfrom=T;\naddress="127.0.0.1";\n'
        b'type="wq_manager";\nport=20;\nl=[1,{"a":null}];\n]\n'
        b'[\nname="localhost";\nlastheardfrom=T;\naddress="127.0.0.1";\n'
        b'type="catalog";\nport=9097;\nup=true;\nload=0.5;\nuuid="u-1";\n]\n',
    ),
    (
        "/query.text",
        b"name localhost\nlastheardfrom T\naddress 127.0.0.1\n"
        b"type hashtable\nowner ada\nport 1234\nproject ada-a4\n\n"
        b"name localhost\nlastheardfrom T\naddress 127.0.0.1\n"
        b'type wq_manager\nport 20\nl [1,{"a":null}]\n\n'
        b"name localhost\nlastheardfrom T\naddress 127.0.0.1\n"
        b"type catalog\nport 9097\nup true\nload 0.5\nuuid u-1\n\n",
    ),
    ("/history/1/query.json", b"[\n\n]\n"),
]


@pytest.mark.parametrize(("path", "body"), TRANSCRIPTS)
def test_what_programs_of_cctools_ask_and_get(
    shared: Catalog, path: str, body: bytes
) -> None:
    asked = REQUEST.format(path=path).encode()
    raw = body.replace(b'"lastheardfrom":T', b'"lastheardfrom":1234567890')
    raw = re.sub(rb"(lastheardfrom[= ])T", rb"\g<1>1234567890", raw)
    wanted = reply(raw)
    wanted = scrubbed(wanted)
    assert scrubbed(shared.say(asked)) == wanted


def test_2_15_what_is_wrong_is_said(shared: Catalog) -> None:
    assert shared.get("/query/not*base64")[0] == 400
    assert b"Invalid base-64 encoding." in shared.get("/query/abc")[1]
    assert shared.get(query("type = 1")) == (400, b"Invalid query text.\n")
    assert shared.get(query("("))[0] == 400
    for path in ("/nosuch", "/query.xml", "/index.html", "/query.json?x=1", "//"):
        status, body = shared.get(path)
        assert (status, b"Error 404: Invalid URL" in body) == (404, True)
    assert b"<script>" not in shared.get("/<script>alert(1)</script>")[1]
    assert b"Unknown Item!" in shared.get("/detail/nobody")[1]


def test_requests_of_all_kinds(shared: Catalog) -> None:
    whole = scrubbed(shared.say(REQUEST.format(path="/query.json").encode()))
    for asked in (
        b"GET /query.json HTTP/1.0\n\n",
        b"POST /query.json HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET http://127.0.0.1:9097/query.json HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\nGET /query.json HTTP/1.1\r\n\r\n",
    ):
        assert scrubbed(shared.say(asked)) == whole
    head, _, body = shared.say(b"HEAD /query.json HTTP/1.1\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert f"Content-Length: {len(shared.get('/query.json')[1])}".encode() in head
    assert body == b""
    for nonsense in (
        b"GET /query.json\r\n\r\n",
        b"\n\n",
        b"x" * 100_000,
        b"\0\xff\n\n",
    ):
        with suppress(ConnectionError):  # Cut while we were still talking.
            assert shared.say(nonsense) == b""
    with shared.connect() as half:
        half.sendall(b"GET /query.json HTTP/1.1\r\n\r\n")
        half.shutdown(socket.SHUT_WR)
        assert read_all(half).endswith(b"\n]\n")


def test_2_9_what_curl_gets_is_json(shared: Catalog) -> None:
    for each in shared.records():
        assert each.keys() >= {"name", "address", "port", "type", "lastheardfrom"}
        assert abs(each["lastheardfrom"] - time.time()) < 120


def aged(page: bytes) -> bytes:
    """A page as it is, whenever it was made."""
    return re.sub(rb'data-now="\d+"|\d+ s ago', b"", page)


def test_2_10_2_12_a_page_for_people(catalog: Catalog) -> None:
    evil = "<script>alert(1)</script>"
    catalog.cast(json.dumps({**HASHTABLE, "owner": evil, evil: evil}).encode())
    catalog.wait_records(1)
    status, page = catalog.get("/")
    assert status == 200
    assert aged(catalog.get("/query.html")[1]) == aged(page)
    for shown in (b"hashtable", b"localhost", b"1234", b"/query.json", b"/query.text"):
        assert shown in page
    link = re.search(rb'href="(/detail/[^"]+)"', page)
    assert link
    detail = catalog.get(link[1].decode())[1]
    assert b"ada-a4" in detail
    for each in (page, detail):
        assert each.count(b"<script") == 1  # Our own.
        assert b"&lt;script&gt;" in each


def test_2_14_updates_come_in_three_ways(catalog: Catalog) -> None:
    catalog.cast(json.dumps({**HASHTABLE, "port": 1}).encode())
    squeezed = b"\x1a" + zlib.compress(json.dumps({**HASHTABLE, "port": 2}).encode())
    catalog.cast(squeezed)
    assert catalog.tell(json.dumps({**HASHTABLE, "port": 3}).encode()) == b""
    catalog.tell(b"\x1a" + zlib.compress(json.dumps({"pad": "x" * 60_000}).encode()))
    large = {"type": "large", "port": 5, **{f"k{n}": "x" * 60_000 for n in range(15)}}
    catalog.tell(json.dumps(large).encode())
    catalog.cast(b"type catalog\nport 6\n")
    assert sorted(r.get("port", 0) for r in catalog.wait_records(6)) == [
        0,
        1,
        2,
        3,
        5,
        6,
    ]


def test_2_13_junk_leaves_it_up_and_unchanged(catalog: Catalog) -> None:
    catalog.tell(json.dumps(HASHTABLE).encode())
    before = catalog.wait_records(1)
    rng = Random(1)
    bomb = b"\x1a" + zlib.compress(b'{"a":"' + b"0" * 50_000_000 + b'"}')
    junk = [b"", b"[1]", b"{", b'{"a":x}', b"plain junk", rng.randbytes(60_000), bomb]
    for each in (
        *junk,
        b"x" * 70_000,
        b"[" * 900_000,
        b"x" * 3_000_000,
        b"GET / HTTP/1.1",
    ):
        if len(each) < 65_000:
            catalog.cast(each)
        try:
            catalog.tell(each)
        except ConnectionError:
            assert len(each) > 1 << 20
    catalog.tell(json.dumps({**HASHTABLE, "port": 2}).encode())
    after = catalog.wait_records(2)
    assert after[0] == before[0]


# Nobody delays anybody


def test_stalled_clients_delay_nobody(catalog: Catalog) -> None:
    catalog.tell(json.dumps({**HASHTABLE, "port": 0}).encode())
    catalog.wait_records(1)  # From now on our name is known.
    with ExitStack() as stalled:
        for n in range(40):
            teller, asker = catalog.connect(1), catalog.connect()
            stalled.enter_context(teller)
            stalled.enter_context(asker)
            if n % 2:
                teller.sendall(b'{"type":"half","port":%d' % n)
                asker.sendall(b"GET /query.json HT")
        for port in range(20):
            catalog.tell(json.dumps({**HASHTABLE, "port": port}).encode())
            assert len(catalog.records()) == port + 1
        # Genuine catalogs wait five seconds, and so long does nobody here.
        assert len(catalog.records("port>=0")) == 20


def test_an_update_whose_end_never_comes_counts_as_it_is(catalog: Catalog) -> None:
    with catalog.connect(1) as teller:
        teller.sendall(json.dumps(HASHTABLE).encode())
        catalog.wait_records(1)
        assert teller.recv(1) == b""


def test_who_reads_slowly_gets_all_and_delays_nobody(catalog: Catalog) -> None:
    for port in range(60):
        parts = {f"k{n}": "x" * 60_000 for n in range(4)}
        catalog.tell(json.dumps({**HASHTABLE, "port": port, **parts}).encode())
    catalog.wait_records(60)
    with ExitStack() as readers:
        slow = [readers.enter_context(catalog.connect()) for _ in range(20)]
        for each in slow:
            each.sendall(b"GET /query.json HTTP/1.1\r\n\r\n")
        assert len(catalog.records("port==7")) == 1
        for each in slow[:3]:
            assert len(json.loads(read_all(each).partition(b"\r\n\r\n")[2])) == 60
    assert len(catalog.records()) == 60


def test_a_costly_filter_is_given_up_and_delays_nobody(catalog: Catalog) -> None:
    text = json.dumps({**HASHTABLE, "pad": "x" * 3000})
    for port in range(300):
        catalog.tell(text.replace("1234", str(port)).encode())
    catalog.wait_records(300)
    costly = " or ".join(['like(pad,"(y|z)*w")'] * 300)
    with catalog.connect() as asker:
        asker.sendall(REQUEST.format(path=query(costly)).encode())
        for _ in range(5):
            assert len(catalog.records("port==7")) == 1
        assert asker.recv(12) == b"HTTP/1.1 200"


def test_a_burst_of_datagrams(catalog: Catalog) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(5000):
            data = b'{"type":"hashtable","owner":"ada","port":%d,"pad":"%b"}'
            sender.sendto(data % (n, b"x" * 100), ("127.0.0.1", catalog.port))
            if n % 500 == 499:  # What any system holds for a reader.
                catalog.wait_records(n + 1)


# Time, restart, death


def test_2_6_records_end_unless_they_are_repeated(user: Cluster) -> None:
    with serving(user, "--lifetime", "2") as catalog:
        catalog.tell(json.dumps({**HASHTABLE, "port": 1}).encode())
        catalog.tell(json.dumps({**HASHTABLE, "port": 2}).encode())
        catalog.wait_records(2)
        repeated = json.dumps({**HASHTABLE, "port": 1}).encode()

        def only_the_repeated() -> bool:
            catalog.tell(repeated)
            return [each["port"] for each in catalog.records()] == [1]

        wait_until(only_the_repeated, 20, "the other to end")
        catalog.wait_records(0)


@pytest.mark.parametrize("ending", ["terminate", "kill"])
def test_2_29_a_restart_forgets_nothing(
    user: Cluster, tmp_path: Path, ending: str
) -> None:
    options = ("--history", str(tmp_path / "history"), "--lifetime", "600")
    with serving(user, *options) as catalog:
        for port in range(50):
            catalog.cast(json.dumps({**HASHTABLE, "port": port}).encode())
        catalog.tell(json.dumps({**HASHTABLE, "port": 3, "load": 1}).encode())
        wait_until(lambda: len(catalog.records("load==1")) == 1, 20, "the change")
        before = catalog.wait_records(50)
        moment = int(time.time()) + 1
        wait_until(
            lambda: b'"load":1' in written(tmp_path / "history"), 20, "the change there"
        )
        getattr(catalog.process, ending)()
        catalog.process.wait(20)
    with serving(user, *options) as again:
        second = user.shoal("catalog", "serve", "--port", "0", *options)
        assert (second.returncode, "another catalog" in second.stderr) == (1, True)
        assert again.records() == before
        again.tell(json.dumps({**HASHTABLE, "port": 99}).encode())
        again.wait_records(51)
        wait_until(lambda: int(time.time()) > moment, 20, "the next second")
        at = f"/history/{moment}"
        assert json.loads(again.get(f"{at}/query.json")[1]) == before
        found = json.loads(again.get(f"{at}{query('load==1')}")[1])
        assert [each["port"] for each in found] == [3]
        assert b"localhost" in again.get(f"{at}/")[1]
        assert again.get(f"{at}/nosuch")[0] == 404
        assert again.get("/history/x/query.json")[0] == 404


# Our own commands


def test_find_and_query(shared: Catalog, sharer: Cluster) -> None:
    here = ("--catalog", shared.address)
    found = sharer.ask("find", 'type=="hashtable" && port>4', *here)
    assert [each["project"] for each in found] == ["ada-a4"]
    everywhere = {"CATALOG_HOST": "127.0.0.1", "CATALOG_PORT": str(shared.port)}
    assert len(sharer.ask("catalog", "query", environment=everywhere)) == 3
    shown = sharer.ask("catalog", "query", "--output", 'type+":"+port', *here)
    assert shown == ["hashtable:1234", "wq_manager:20", "catalog:9097"]
    table = sharer.shoal("catalog", "query", "--where", 'owner=="ada"', *here)
    assert "ada-a4" in table.stdout


def test_find_says_what_is_wrong(shared: Catalog, sharer: Cluster) -> None:
    here = ("--catalog", shared.address)
    unclear = sharer.shoal("find", "port>1 and port<5 or true", *here)
    assert unclear.returncode == 2
    assert "(port>1 and port<5) or true" in unclear.stderr
    assert "port>1 and (port<5 or true)" in unclear.stderr
    assert sharer.shoal("find", "type==", *here).returncode == 2
    assert sharer.shoal("find", 'type=="nosuch"', *here).returncode == 4
    nowhere = sharer.shoal("find", "true")
    assert nowhere.returncode == 2
    assert "CATALOG_HOST" in nowhere.stderr
    dead = sharer.shoal("find", "true", "--catalog", "127.0.0.1:9", "--timeout", "1")
    assert dead.returncode == 3


def test_a_catalog_off_loopback_is_asked_for(sharer: Cluster, shared: Catalog) -> None:
    taken = sharer.shoal("catalog", "serve", "--port", str(shared.port))
    assert taken.returncode == 1
    assert "in use" in taken.stderr
    with socket.socket() as neighbour:
        # Below the numbers that the system gives to whoever calls somebody.
        neighbour.bind(("127.0.0.1", Random().randrange(*FREE_PORTS)))
        number = neighbour.getsockname()[1]
        beside = sharer.shoal("catalog", "serve", "--port", str(number - 1))
        assert beside.returncode == 1
        assert str(number) in beside.stderr
