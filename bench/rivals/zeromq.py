"""A rival: plain pyzmq, blocking sockets and no asyncio, which is its fastest form.

What made it faster than the way its guide writes it:

  - small messages copied, large ones not (from 256 KiB on not copying wins),
  - the two parts of a ROUTER's message received and sent one by one, which takes 3 us
    where `recv_multipart` takes 9,
  - no poller: a blocking `recv` is cheaper than any number of polls, and taking
    whole batches without blocking gained nothing.

DEALER to DEALER is the fastest of all, but its answerer can have one asker only; it is
left out where many requests are in flight. `numbered` is the service that ours gives:
requests with a topic and a deadline, and answers that find their way by number.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import zmq
from msgspec import Raw, Struct

from bench.comparison import answer_at, obey

HOST = "127.0.0.1"
BODY = b"x" * 64
ASK_MS = 10_000
NOT_COPIED_BYTES = 256 << 10
WAITING_MESSAGES = 32  # Of up to 1 MiB: more is no faster.

# The form, how it asks, and how it answers.
KINDS = {
    "req": (zmq.REQ, zmq.REP),
    "dealer": (zmq.DEALER, zmq.DEALER),
    "router": (zmq.DEALER, zmq.ROUTER),
    "numbered": (zmq.DEALER, zmq.ROUTER),
    "push": (zmq.PUSH, zmq.PULL),
}

Socket = zmq.Socket[bytes]
Handler = Callable[[bytes, Raw], bytes]
Deed = Callable[..., Any]


class Request(Struct, array_like=True, gc=False):
    """What `numbered` asks."""

    number: int
    topic: str
    within_ms: int
    body: Raw


class Reply(Struct, array_like=True, gc=False):
    """What `numbered` answers."""

    number: int
    body: Raw


def opened(kind: int) -> Socket:
    """A socket that waits with a deadline, and not at all at its end."""
    socket: Socket = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDTIMEO, ASK_MS)
    if kind in (zmq.PUSH, zmq.PULL):
        socket.set_hwm(WAITING_MESSAGES)
    return socket


# The side that answers


def answer(form: str) -> None:
    """Echo, or swallow, until ended."""
    socket = opened(KINDS[form][1])
    ports = [socket.bind_to_random_port(f"tcp://{HOST}")]
    told = opened(zmq.PUSH)
    if form == "push":
        ports.append(told.bind_to_random_port(f"tcp://{HOST}"))
    answer_at(" ".join(map(str, ports)))
    match form:
        case "push":
            swallow(socket, told)
        case "router":
            route(socket)
        case "numbered":
            route_numbered(socket)
        case _:
            echo(socket)


def echo(socket: Socket) -> None:
    """Send everything back."""
    recv, send = socket.recv, socket.send
    while True:
        send(recv())


def route(socket: Socket) -> None:
    """Send everything back to whoever sent it."""
    recv, send, more = socket.recv, socket.send, zmq.SNDMORE
    while True:
        asker = recv()
        body = recv()
        send(asker, more)
        send(body)


def route_numbered(socket: Socket) -> None:
    """Have a handler answer each request."""
    handlers: dict[str, Handler] = {"echo": lambda _, body: bytes(body)}
    decode = msgspec.msgpack.Decoder(Request).decode
    encode = msgspec.msgpack.Encoder().encode
    recv, send, more = socket.recv, socket.send, zmq.SNDMORE
    while True:
        asker = recv()
        request = decode(recv())
        body = handlers[request.topic](asker, request.body)
        send(asker, more)
        send(encode(Reply(request.number, Raw(body))))


def swallow(socket: Socket, told: Socket) -> None:
    """Take as many bytes as are announced, and say so."""
    while True:
        left = int(socket.recv())
        while left > 0:
            left -= len(socket.recv(copy=False))
        told.send(b"")


# The side that asks


class Asker:
    """Does what it is told over one socket."""

    def __init__(self, form: str, ports: list[str]) -> None:
        self._socket = connected(KINDS[form][0], ports[0])
        if form == "push":
            self._told = connected(zmq.PULL, ports[1])

    def one_at_a_time(self, seconds: float) -> dict[str, float]:
        """As many round trips as fit."""
        recv, send, clock = self._socket.recv, self._socket.send, time.perf_counter
        count, begun = 0, clock()
        while clock() < begun + seconds:
            send(BODY)
            recv()
            count += 1
        return {"operations": count, "seconds": clock() - begun}

    def in_flight(self, seconds: float, window: int) -> dict[str, float]:
        """As many round trips as fit, so many at a time."""
        recv, send, clock = self._socket.recv, self._socket.send, time.perf_counter
        count, begun = window, clock()
        for _ in range(window):
            send(BODY)
        while clock() < begun + seconds:
            recv()
            send(BODY)
            count += 1
        for _ in range(window):
            recv()
        return {"operations": count, "seconds": clock() - begun}

    def numbered(self, seconds: float, window: int) -> dict[str, float]:
        """The same with requests that have a number, a topic and a deadline."""
        encode = msgspec.msgpack.Encoder().encode
        decode = msgspec.msgpack.Decoder(Reply).decode
        recv, send, clock = self._socket.recv, self._socket.send, time.perf_counter
        body = Raw(msgspec.msgpack.encode(BODY[2:]))
        waiting: dict[int, Callable[[Raw], None]] = {}
        last: deque[Raw] = deque(maxlen=1)
        count, begun = 0, clock()
        end = begun + seconds
        while count < window or waiting:
            if count < window or clock() < end:
                count += 1
                waiting[count] = last.append
                send(encode(Request(count, "echo", ASK_MS, body)))
            if count >= window:
                reply = decode(recv())
                waiting.pop(reply.number)(reply.body)
        return {"operations": count, "seconds": clock() - begun}

    def stream(self, size_bytes: int, chunk_bytes: int) -> dict[str, float]:
        """Stream so much, until the other side has it all."""
        send, copy = self._socket.send, chunk_bytes < NOT_COPIED_BYTES
        chunk, begun = b"x" * chunk_bytes, time.perf_counter()
        send(str(size_bytes).encode())
        for _ in range(size_bytes // chunk_bytes):
            send(chunk, 0, copy)
        self._told.recv()
        return {"operations": size_bytes, "seconds": time.perf_counter() - begun}


def connected(kind: int, port: str) -> Socket:
    """A socket to the other side."""
    socket = opened(kind)
    socket.setsockopt(zmq.RCVTIMEO, ASK_MS)
    socket.connect(f"tcp://{HOST}:{port}")
    return socket


def ask(form: str, ports: list[str]) -> None:
    """Obey."""
    asker = Asker(form, ports)
    deeds: dict[str, Deed] = {
        "one at a time": asker.one_at_a_time,
        "in flight": asker.numbered if form == "numbered" else asker.in_flight,
        "stream": asker.stream,
    }
    obey(deeds)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    else:
        ask(sys.argv[2], sys.argv[3].split())
