"""What a peer says over HTTP, to whoever has its token."""

import os
from select import select as readable
from typing import TYPE_CHECKING, Any

from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import (
    Misuse,
    Refused,
    Unanswered,
    Unauthorized,
    Unreachable,
    named,
)

if TYPE_CHECKING:
    from http.client import HTTPConnection


class Pages:
    """Asks one peer over HTTP. Every call ends within `timeout_s`."""

    def __init__(
        self, address: Address, token: str = "", timeout_s: float = 10.0
    ) -> None:
        self.address = address
        self.token = token
        self.timeout_s = timeout_s
        self._spare: list[HTTPConnection] = []
        self._process = os.getpid()

    def members(self) -> list[dict[str, Any]]:
        """Who is in the network, since when, and who says so."""
        members: list[dict[str, Any]] = self.get("/api/members")
        return members

    def status(self) -> dict[str, Any]:
        """How this peer is."""
        status: dict[str, Any] = self.get("/api/status")
        return status

    def get(self, path: str) -> Any:  # noqa: ANN401 - it is whatever JSON says.
        """What the peer has to say there."""
        return self._ask("GET", path)

    def post(self, path: str, document: object = None) -> Any:  # noqa: ANN401
        """Let the peer do something, once."""
        return self._ask("POST", path, document)

    def _ask(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401
        from http.client import HTTPException  # 20 ms, when needed.

        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(method, path, _written(document), headers)
            response = connection.getresponse()
            body = response.read()
            self._spare.append(connection)
        except TimeoutError:
            connection.close()
            raise Unanswered(
                f"peer {self.address}: no answer in {self.timeout_s:g} s; "
                "try again, or with a longer --timeout"
            ) from None
        except (OSError, HTTPException) as error:
            connection.close()
            from shoal.client.replies import ELSEWHERE, at_the_door  # Seldom needed.

            if (line := getattr(error, "line", "")).startswith("-"):
                raise at_the_door(self.address, line.encode()) from None
            cause = (getattr(error, "strerror", None) or str(error)).lower()
            raise Unreachable(
                f"peer {self.address}: {cause or 'no answer'}; {ELSEWHERE}"
            ) from None
        return self.understand(response.status, body)

    def _connection(self) -> "HTTPConnection":
        """One that is open still, or another; only one thread has it at a time."""
        from http.client import HTTPConnection

        while self._spare:
            connection = self._spare.pop()
            wire = connection.sock
            if (
                wire
                and os.getpid() == self._process
                and not readable([wire], [], [], 0)[0]
            ):
                return connection  # What can be read from an idle one is its end.
            connection.close()
        self._process = os.getpid()
        host, port = parse(self.address)
        return HTTPConnection(host, port, timeout=self.timeout_s)

    def hang_up(self) -> None:
        """Give the connections back."""
        while self._spare:
            self._spare.pop().close()

    def __del__(self) -> None:
        self.hang_up()

    def understand(self, status: int, body: bytes) -> Any:  # noqa: ANN401
        """What was answered, or the error it tells of."""
        import json  # 6 ms, when needed.

        text = body.decode(errors="replace").strip()
        if status == 401:
            raise Unauthorized(
                f"peer {self.address}: it needs the token of its network; "
                "set SHOAL_TOKEN to the file 'token' of one of its peers"
            )
        if status == 403:
            raise Unauthorized(f"peer {self.address}: {text}")
        if status in (404, 409) and text.startswith("{"):
            told = json.loads(text)["error"]
            raise named(told["kind"], told["message"])
        if status >= 400:
            raise Refused(f"peer {self.address}: {text}")
        try:
            return json.loads(text)
        except ValueError:
            raise Misuse(
                f"peer {self.address}: what answers there is not a peer of Shoal; "
                "check the address"
            ) from None


def _written(document: object) -> bytes | None:
    if document is None:
        return None
    import json

    return json.dumps(document).encode()
