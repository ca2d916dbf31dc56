"""A peer that answers what a test wants it to, over a real socket, in a thread."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from shoal.core.machine import Address

# Told each connection in turn; what it does not say itself stays unsaid.
Play = Callable[[socket.socket], None]


@contextmanager
def answering(*plays: Play) -> Iterator[Address]:
    """One play for each connection, in turn; then nobody listens any more."""
    listening = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def listen() -> None:
        for play in plays:
            try:
                wire, _ = listening.accept()
            except OSError:
                return  # The test has ended.
            held.append(wire)
            threads.append(threading.Thread(target=play, args=[wire]))
            threads[-1].start()
        listening.close()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield Address(f"127.0.0.1:{listening.getsockname()[1]}")
    finally:
        for each in (listening, *held):
            with suppress(OSError):  # Whoever waits for it is let go.
                each.shutdown(socket.SHUT_RDWR)
        for thread in (listener, *threads):
            thread.join()
        for each in (listening, *held):
            each.close()


def says(*replies: bytes) -> Play:
    """Answer one request after the other, and hang up."""

    def play(wire: socket.socket) -> None:
        for reply in replies:
            wire.recv(1 << 20)
            wire.sendall(reply)
        hang_up(wire)

    return play


def hears(wire: socket.socket) -> None:
    """Take a request, and hang up."""
    wire.recv(1 << 20)
    hang_up(wire)


def dawdles(wire: socket.socket) -> None:
    """Take a request, and say nothing."""
    wire.recv(1 << 20)


def hang_up(wire: socket.socket) -> None:
    """Whether or not the other has done so before."""
    with suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)
