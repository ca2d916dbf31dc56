"""The ports of a catalog: questions and datagrams on one, updates on the next."""

import socket
from random import randrange

from shoal.core.address import join
from shoal.errors import NotListening
from shoal.net.host import bind

BACKLOG = 4096

# Where two neighbouring numbers are free: below those that systems give to whoever
# calls somebody, of which every second one is taken on a busy machine.
FREE_PORTS = (20_000, 32_000)
TRIED_PORTS = 100


def bind_catalog(host: str, port: int) -> list[socket.socket]:
    """TCP and UDP on a number and TCP on the next, or `NotListening` and why."""
    for _ in range(TRIED_PORTS):
        try:
            listening, datagram = bind(host, port or randrange(*FREE_PORTS))
        except NotListening as error:
            if port == 0:
                continue
            cause = str(error).partition("; ")[0]
            raise NotListening(
                f"catalog {cause}; choose another port for it"
            ) from error
        number = listening.getsockname()[1]
        updates = socket.socket(listening.family, socket.SOCK_STREAM)
        updates.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            updates.bind((host, number + 1))
            # Two may be bound to a number that only one of them can listen on.
            listening.listen(BACKLOG)
            updates.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            for each in (listening, datagram, updates):
                each.close()
            if port == 0:
                continue  # The next number was taken: begin elsewhere.
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise NotListening(
                f"catalog address {join(host, number + 1)}: {reason}, and updates come "
                "to the number after its own; choose another port for it"
            ) from error
        updates.setblocking(False)
        return [listening, datagram, updates]
    raise NotListening(f"address {host}: no two neighbouring ports are free")
