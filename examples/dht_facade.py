"""Set and get over ZeroMQ, in front of the table. First: shoal up --detach.

python dht_facade.py 40001      serves ("set:", key, value) and ("get:", key)
python dht_facade.py            serves itself for a moment, to show how it is asked
"""

import sys
from threading import Thread

import zmq

import shoal


def answer(table: shoal.Table, request: list[bytes]) -> bytes:
    """OK, the value, None for a key that has none, or Err."""
    match request:
        case [b"set:", key, value]:
            table.put(key, value)
            return b"OK"
        case [b"get:", key]:
            return table.get(key, b"None")
        case _:
            return b"Err"


def serve(port: int, requests: int | None = None) -> None:
    """Answer one request after the other, for ever or so many."""
    table = shoal.connect().table
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(f"tcp://127.0.0.1:{port}")
        while requests is None or requests > 0:
            try:
                socket.send(answer(table, socket.recv_multipart()))
            except shoal.ShoalError as error:
                print(error, file=sys.stderr)
                socket.send(b"Err")
            requests = requests and requests - 1


def show(port: int) -> None:
    """Ask what the facade knows."""
    asked = [("set:", "colour", "blue"), ("get:", "colour"), ("get:", "taste"), ("?",)]
    server = Thread(target=serve, args=[port, len(asked)])
    server.start()
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(f"tcp://127.0.0.1:{port}")
        for words in asked:
            socket.send_multipart([word.encode() for word in words])
            print(*words, "->", socket.recv().decode())
    server.join()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        show(40001)
