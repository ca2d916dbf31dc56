"""A process ends: its connections are reset before its door is closed."""

import asyncio
import socket
import struct

import pytest

from shoal.core.address import join
from shoal.core.handshake import LINK
from tests.conformance.hosts import LOOPS, Loop, hosts, run

RESET = struct.pack("ii", 1, 0)  # Linger for no time: closing sends a reset.


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_reset_in_the_queue_is_refused_in_the_end(loop: Loop) -> None:
    async def die(dying: socket.socket) -> None:
        queued, _ = await asyncio.get_running_loop().sock_accept(dying)
        queued.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        dying.close()
        queued.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as dying:
            dying.setblocking(False)
            address = join(*dying.getsockname())
            async with hosts(1) as [host], asyncio.TaskGroup() as tasks:
                tasks.create_task(die(dying))
                with pytest.raises(ConnectionRefusedError):
                    await host.links.dialler.dial(address, LINK)

    run(loop, main())
