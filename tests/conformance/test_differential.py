"""A peer against a real Redis, in memory and, shorter, with its log.

`REDIS_COMMANDS=200000` asks for more; `python -m tests.conformance.differential` too.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.table.redis.registry import COMMANDS
from tests.conformance.differential import compare
from tests.conformance.redis_meaning import OURS_ALONE, REASONS
from tests.conformance.redis_server import needed, redis
from tests.conformance.redis_wire import Error, Wire
from tests.end_to_end.cluster import Cluster

HOW_MANY = int(os.environ.get("REDIS_COMMANDS", "4000"))

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocols" / "table-redis.md"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    needed("redis-server")
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def in_memory(user: Cluster) -> int:
    return _port(user, "--storage", "memory")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis(tmp_path_factory.mktemp("redis"), cluster=False) as port:
        yield port


def _port(user: Cluster, *arguments: str) -> int:
    return int(user.up(*arguments)[0].address.rpartition(":")[2])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cluster", [False, True], ids=["one", "cluster"])
def test_what_redis_answers_we_answer(
    tmp_path: Path, in_memory: int, cluster: bool
) -> None:
    tally = compare(tmp_path, in_memory, HOW_MANY // 2, seed=HOW_MANY, cluster=cluster)
    assert tally.exact > HOW_MANY / 4


def test_a_log_changes_no_answer(tmp_path: Path, user: Cluster) -> None:
    compare(tmp_path, _port(user, "--storage", "log"), 500, seed=7, cluster=False)


def test_what_redis_has_and_we_have_not_is_unknown(
    reference: int, in_memory: int
) -> None:
    theirs, ours = Wire(reference), Wire(in_memory)
    names = [each for each in theirs.ask(b"COMMAND", b"LIST") if b"|" not in each]
    known = {name.lower() for name in COMMANDS}
    assert known - OURS_ALONE <= set(names)
    for name in set(names) - known:
        answer = ours.ask(name, b"a")
        assert isinstance(answer, Error), name
        assert answer.text.startswith(b"ERR unknown command '%b', with" % name)
    theirs.close()
    ours.close()


MALFORMED = [
    b"*x\r\n",
    b"*01\r\n",
    b"*\r\n",
    b"*99999999999999999999999\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$-2\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\n*1\r\n$1\r\na\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n\xff\r\n",
    b'*1\r\n"\r\n',
    b"*1\r\n#t\r\n",
    b"*1\r\n%1\r\n$1\r\na\r\n:1\r\n",
    b"*1\r\n-ERR x\r\n",
    b'PING "a\r\n',
    b"PING 'a\\'\r\n",
    b'PING "a"b\r\n',
]


@pytest.mark.parametrize("request_", MALFORMED, ids=repr)
def test_what_is_malformed_ends_alike(
    request_: bytes, reference: int, in_memory: int
) -> None:
    told = []
    for port in (reference, in_memory):
        wire = Wire(port)
        assert wire.ask(b"ECHO", b"hello") == b"hello"
        wire.send(request_)
        told.append(wire.replies_until(b"no such mark"))
        assert wire.closed
        wire.close()
    assert told[0] == told[1]


def test_every_difference_is_documented() -> None:
    documented = {
        line.split("|")[1].strip().strip("`")
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `")
    }
    assert documented >= REASONS
