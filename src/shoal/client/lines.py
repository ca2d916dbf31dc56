"""The table in lines of JSON: a request out, a reply back (docs/protocols).

Whatever interrupts a call ends the connection; the next call makes another.
"""

import json
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from time import monotonic
from typing import Any

from shoal.client import replies
from shoal.client.wire import CHUNK_BYTES
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Misuse, Refused, Unknown


class Lines:
    """One connection that speaks JSON, for one caller at a time."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._socket: socket | None = None

    def ask(self, method: str, **rest: object) -> Any:  # noqa: ANN401 - what JSON says.
        """The result; `KeyError` if there is no such key."""
        reply = self._exchange(json.dumps({"method": method, **rest}).encode() + b"\n")
        match reply:
            case {"status": "OK"}:
                return reply.get("result")
            case {"type": "KeyError"}:
                raise KeyError(rest.get("key"))
            case {"status": "invalid", "message": why}:
                raise Misuse(f"peer {self.address}: {why}; correct the request")
            case {"message": str(why)} if why.startswith("UNKNOWN"):
                raise Unknown(f"peer {self.address}: {why}")
        raise Refused(f"peer {self.address}: {reply.get('message', 'it would not')}")

    def close(self) -> None:
        """Give the connection back."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes) -> dict[str, Any]:
        until = monotonic() + self._timeout_s
        wire = self._socket or self._connect()
        try:
            wire.settimeout(self._timeout_s)
            wire.sendall(request)
            return dict(json.loads(self._receive(wire, until)))
        except TimeoutError:
            self.close()
            raise replies.unanswered(self.address, self._timeout_s) from None
        except (OSError, EOFError) as error:
            self.close()
            raise replies.lost(self.address, error, asked=True) from None
        except ValueError:
            self.close()
            raise replies.foreign(self.address) from None
        except BaseException:
            self.close()
            raise

    def _receive(self, wire: socket, until: float) -> bytes:
        pieces: list[bytes] = []
        while not pieces or not pieces[-1].endswith(b"\n"):
            data = wire.recv(CHUNK_BYTES)
            if not data:
                raise EOFError("it hung up")
            pieces.append(data)
            wire.settimeout(max(0.001, until - monotonic()))
        return b"".join(pieces)

    def _connect(self) -> socket:
        try:
            fresh = create_connection(parse(self.address), timeout=self._timeout_s)
        except OSError as error:
            raise replies.lost(self.address, error, asked=False) from None
        fresh.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._socket = fresh
        return fresh
