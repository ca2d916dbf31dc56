"""All commands, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from shoal.table.redis import clients, strings
from shoal.table.redis.commands import Command

COMMANDS: Mapping[bytes, Command] = MappingProxyType(
    {
        each.name.encode(): each
        for module in (strings, clients)
        for each in module.COMMANDS
    }
)
