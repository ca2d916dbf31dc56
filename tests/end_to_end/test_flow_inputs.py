"""Whatever is asked of a peer over HTTP, and however, the peer goes on."""

import os
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.client.fetching import fetch
from shoal.core.address import parse
from shoal.errors import Misuse, NotFound, ShoalError, UnreadableFile
from tests.end_to_end.cluster import Cluster, Node
from tests.end_to_end.science import Lab, integers, lab, save


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    """One peer, and one dataset."""
    return lab(sharer, [{"good": integers(1, 1000)}])


@pytest.fixture(autouse=True)
def unharmed(science: Lab) -> Iterator[None]:
    """Whatever was asked, the peer is there, and the next job is right."""
    yield
    assert science.nodes[0].runs, science.nodes[0].log()[-2000:]
    assert science.value("sum(good)") == science.arrays["good"].sum()


def answered(node: Node, head: str, body: bytes = b"", *, reset: bool = False) -> bytes:
    """What comes back before the connection ends; with `reset` nobody waits for it."""
    with socket.create_connection(parse(node.address), timeout=10) as connection:
        lines = f"{head}\r\nHost: {node.address}\r\nAuthorization: Bearer {node.token}"
        connection.sendall(f"{lines}\r\nConnection: close\r\n\r\n".encode() + body)
        if reset:
            off = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, off)
            return b""
        if body:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(1 << 16):
            found += piece
        return found


# Connections


def test_a_question_that_breaks_off(science: Lab) -> None:
    answered(science.nodes[0], "POST /api/run HTTP/1.1\r\nContent-Length: 99", b"{")


def test_a_question_in_broken_chunks(science: Lab) -> None:
    chunked = "POST /api/run HTTP/1.1\r\nTransfer-Encoding: chunked"
    answered(science.nodes[0], chunked, b"zz\r\nno size\r\n")


def test_readers_who_do_not_wait(science: Lab) -> None:
    for _ in range(50):
        answered(science.nodes[0], "GET /datasets/good HTTP/1.1", reset=True)


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (f"{'0' * 5000}-", 200),
        (f"-{'9' * 5000}", 200),
        ("0-", 206),
        ("-0", 416),
        ("9999999-", 416),
        ("5-2", 416),
        ("1-2,4-5", 200),
    ],
)
def test_ranges(science: Lab, wanted: str, status: int) -> None:
    head = f"GET /datasets/good HTTP/1.1\r\nRange: bytes={wanted}"
    told = answered(science.nodes[0], head)
    assert told.startswith(f"HTTP/1.1 {status} ".encode())


# Files


def test_paths_that_lead_nowhere(science: Lab) -> None:
    root = science.cluster.root
    loop = root / "loop"
    loop.mkdir()
    (loop / "x.npy").symlink_to(loop / "x.npy")
    for path in ["/" + "a" * 300, str(loop), str(loop / "x.npy"), "\0", ""]:
        with pytest.raises((NotFound, UnreadableFile, Misuse)):
            science.flow().add(path)


def test_a_file_name_that_is_no_text(science: Lab) -> None:
    folder = science.cluster.root / "strange"
    good = save(folder, "good", integers(2, 10))
    shutil.copy(good, os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.npy"))
    with pytest.raises(Misuse, match="rename"):
        science.flow().add(str(folder))


def test_a_file_name_that_is_too_long_for_a_record(science: Lab) -> None:
    path = save(science.cluster.root, "n" * 240, integers(3, 10))
    with pytest.raises(Misuse, match="rename"):
        science.flow().add(str(path), name="short")


def test_old_bytes_never_stand_under_a_new_mark(science: Lab, tmp_path: Path) -> None:
    part, mark = tmp_path / "good.npy.part", tmp_path / "good.npy.part.json"
    part.write_bytes(b"what was fetched of another version")
    mark.mkdir()  # As if we had died before it was written.
    with pytest.raises(Misuse):
        fetch(science.client(), "good", tmp_path / "good.npy")
    assert not part.exists()


@pytest.mark.parametrize(
    "name", ["a/b", "50%2F", "Ölfeld 7", "x?y#z", "..", "a b", "and", '"\\"']
)
def test_names_that_a_url_must_quote(science: Lab, name: str, tmp_path: Path) -> None:
    rows = integers(len(name), 50)
    science.flow().add(str(save(tmp_path, "rows", rows)), name=name)
    assert science.flow().dataset(name)["name"] == name
    assert (science.flow().array(name) == rows).all()
    assert science.client()[name].sum().number() == rows.sum()


# Words that are longer than a record holds


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "n" * 201},
        {"tags": ["t" * 101]},
        {"tags": [""]},
        {"tags": [str(n) for n in range(33)]},
        {"user": "u" * 65},
        {"place": -1},
    ],
)
def test_wishes_beyond_their_limits(science: Lab, wish: dict[str, Any]) -> None:
    path = str(save(science.cluster.root, "wished", integers(5, 10)))
    with pytest.raises(Misuse, match="request"):
        science.flow().add(path, **wish)


@pytest.mark.parametrize(
    "wish",
    [
        {"tags": ["t" * 101]},
        {"tags": [str(n) for n in range(33)]},
        {"user": "u" * 65},
        {"within_s": -1},
        {"within_s": 1e30},
    ],
)
def test_questions_beyond_their_limits(science: Lab, wish: dict[str, Any]) -> None:
    before = len(science.flow().jobs())
    with pytest.raises(ShoalError, match="request"):
        science.flow().run("sum(good)", **wish)
    assert len(science.flow().jobs()) == before


def test_a_name_nobody_could_have_given(science: Lab) -> None:
    for name in ["no such name", "n" * 300, "ä"]:
        with pytest.raises(NotFound):
            science.flow().dataset(name)
        with pytest.raises(NotFound):
            science.flow().job(name)
