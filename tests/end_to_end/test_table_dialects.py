"""Frames of verbs and lines of JSON: what programs of others hear on our port."""

import json
import random
import socket
import struct
import threading
from collections import Counter
from itertools import pairwise

import pytest

from tests.end_to_end.cluster import Cluster, Node
from tests.end_to_end.dialects import Dialect, Frames, Lines

# What somebody stores who wants to see us stumble.
AWKWARD = [
    b"two words",
    b"  blanks around  ",
    b"lines\nand\r\nreturns",
    b"\0\0\0\x05nul",
    "Äpfel, 世界".encode(),
    b"\xff\xfe not text",
    b"NONE",
    b"SUCCESS",
    b"FAILURE",
    b"ERROR no",
    b"None",
    b"",
    bytes(range(256)) * 4096,
]


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


def test_0_4_a_put_in_four_bytes_and_a_text(node: Node) -> None:
    with Dialect(node) as wire:
        wire.socket.sendall(b"\x00\x00\x00\x0bput abc def")
        assert wire.exactly(11) == b"\x00\x00\x00\x07SUCCESS"


def test_0_7_a_missing_key_is_none(node: Node) -> None:
    with Frames(node) as wire:
        assert wire.ask(b"get nothing-there") == b"NONE"


def test_0_8_to_delete_a_missing_key_fails_and_harms_nobody(node: Node) -> None:
    with Frames(node) as wire, Frames(node) as other:
        for _ in range(3):
            assert wire.ask(b"rem nothing-there") == b"FAILURE"
            assert wire.ask(b"put x 1") == b"SUCCESS"
            assert other.ask(b"put x 2") == b"SUCCESS"


def test_0_9_a_deleted_key_is_gone(node: Node) -> None:
    with Frames(node) as wire:
        assert wire.ask(b"put gone soon") == b"SUCCESS"
        assert wire.ask(b"rem gone") == b"SUCCESS"
        assert wire.ask(b"get gone") == b"NONE"


@pytest.mark.parametrize("value", AWKWARD, ids=lambda v: repr(v[:12]))
def test_0_14_any_value_comes_back_in_frames(node: Node, value: bytes) -> None:
    with Frames(node) as wire:
        assert wire.ask(b"put awkward " + value) == b"SUCCESS"
        assert wire.ask(b"get awkward") == value
        assert wire.ask(b"find awkward") == b"=" + value


def test_0_26_an_unknown_verb_is_told_and_survived(node: Node) -> None:
    with Frames(node) as wire:
        for request in (b"sing", b"", b"PUT a b", b"put a", b"\xff" * 100):
            assert wire.ask(request).startswith(b"ERROR ")
        assert wire.ask(b"put a b") == b"SUCCESS"
        assert wire.ask(b"get a") == b"b"


def test_2_1_twenty_clients_at_random_are_served_in_turns(node: Node) -> None:
    """Nobody's requests wait until another's are done: the answers interleave."""
    order: list[int] = []
    wrong: list[str] = []

    def live(number: int) -> None:
        rng, mine = random.Random(number), dict[str, int]()
        with Lines(node) as wire:
            for _ in range(60):
                key = f"{number}-{rng.randrange(5)}"
                if rng.random() < 0.5:
                    mine[key] = rng.randrange(1000)
                    reply = wire.ask("insert", key=key, value=mine[key])
                else:
                    reply = wire.ask("lookup", key=key)
                    if reply.get("result") != mine.get(key):
                        wrong.append(f"{key}: {reply}")
                order.append(number)

    threads = [threading.Thread(target=live, args=[n]) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert Counter(order) == dict.fromkeys(range(20), 60)
    turns = sum(a != b for a, b in pairwise(order))
    assert turns > len(order) / 4


def test_2_2_clients_leave_in_every_way(node: Node) -> None:
    with Lines(node) as stays, Frames(node) as stays_too:
        for _ in range(20):
            for said in (b"", b"{", b'{"method":"size"}\n', b"\0\0\0\x09get", b"*1"):
                _leave(node, said, reset=False)
                _leave(node, said, reset=True)
            assert stays.ask("size")["status"] == "OK"
            assert stays_too.ask(b"put here still") == b"SUCCESS"
    with Lines(node) as halved:
        halved.socket.sendall(b'{"method":"query","key":"here"}\n')
        halved.socket.shutdown(socket.SHUT_WR)
        assert halved.reply() == {"status": "OK", "result": True}
        assert halved.socket.recv(1) == b""


def _leave(node: Node, said: bytes, *, reset: bool) -> None:
    with Dialect(node) as wire:
        wire.socket.sendall(said)
        if reset:
            linger = struct.pack("ii", 1, 0)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.parametrize(
    "half",
    [b'{"method": "insert", "key"', b"\0\0\0\x20put half", b"*3\r\n$3\r\nSET\r\n"],
)
def test_2_3_half_a_request_delays_nobody(node: Node, half: bytes) -> None:
    with Dialect(node) as stalled, Frames(node) as frames, Lines(node) as lines:
        stalled.socket.sendall(half)
        for _ in range(50):
            assert frames.ask(b"put quick 1") == b"SUCCESS"
            assert lines.ask("lookup", key="quick")["result"] == 1
        stalled.socket.setblocking(False)
        with pytest.raises(BlockingIOError):  # It has not even been hung up on.
            stalled.socket.recv(1)


def test_2_16_a_document_comes_back_and_goes(node: Node) -> None:
    value = {"weight": 100, "name": "fred", "tags": ["a", None, 1.5, "世"]}
    with Lines(node) as wire:
        assert wire.ask("insert", key="zebra", value=value)["status"] == "OK"
        assert wire.ask("lookup", key="zebra") == {"status": "OK", "result": value}
        assert wire.ask("query", key="zebra")["result"] is True
        assert wire.ask("scan", regex="^zeb")["result"] == [["zebra", value]]
        assert wire.ask("remove", key="zebra") == {"status": "OK", "result": value}
        missing = wire.ask("lookup", key="zebra")
        assert (missing["status"], missing["type"]) == ("exception", "KeyError")
        assert wire.ask("remove", key="zebra")["type"] == "KeyError"
        assert wire.ask("fly", key="zebra")["status"] == "invalid"


def test_2_17_an_invalid_request_is_told_and_survived(node: Node) -> None:
    requests: list[object] = [
        ["insert", "a", 1],
        {"method": "fly", "key": "a"},
        {"method": None, "key": "a"},
        {"method": "lookup"},
        {"method": "lookup", "key": 7},
        {"method": "insert", "key": ["a"], "value": 1},
        {"method": "insert", "key": "a"},
        {"method": "scan", "regex": "(unclosed"},
        {"method": "scan", "regex": 5},
        {"method": "scan"},
    ]
    junk = [b"junk", b"{", b'{"method":"lookup","key":"\xff"}', b"[" * 5000]
    with Lines(node) as wire:
        assert wire.ask("size")["status"] == "OK"
        for line in [*(json.dumps(each).encode() for each in requests), *junk]:
            reply = wire.say(line)
            assert reply["status"] == "invalid", line
            assert reply["type"]
            assert reply["message"]
        assert wire.ask("insert", key="after", value="all")["status"] == "OK"
        assert wire.ask("lookup", key="after")["result"] == "all"
