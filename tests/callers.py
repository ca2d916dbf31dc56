"""What a Redis conversation needs around it, without a network."""

from shoal.core.machine import PeerId
from shoal.table.protocol import Table
from shoal.table.redis.registry import COMMANDS
from shoal.table.redis.server import RedisServer, Surroundings
from shoal.table.redis.talk import RedisTalk


class Deaf:
    """A caller of whom only what was pushed is kept."""

    address = "127.0.0.1:1"
    called = "127.0.0.1:2"

    def __init__(self) -> None:
        self.pushed = b""
        self.ended = False

    def push(self, news: bytes) -> None:
        self.pushed += news

    def settle(self) -> None:
        pass

    def cut(self, why: str) -> None:
        self.ended = True


def server_of(table: Table) -> RedisServer:
    around = Surroundings(
        name=PeerId("calm-otter-aaaaaa"),
        address="127.0.0.1:7600",
        process=1,
        since=0,
        durability="always",
        memory_bytes=lambda: 1,
        processor_s=lambda: (0, 0),
    )
    return RedisServer(table, COMMANDS, around)


def talk_to(server: RedisServer) -> RedisTalk:
    return RedisTalk(server, Deaf())
