"""All commands, by name."""

from collections.abc import Sequence
from types import MappingProxyType

from shoal.table.redis import (
    channels,
    clients,
    cluster,
    conditions,
    configuration,
    conversation,
    counters,
    expiring,
    introspection,
    keys,
    report,
    scanning,
    strings,
)
from shoal.table.redis.commands import Command, Commands

_SUBJECTS: Sequence[Sequence[Command]] = (
    strings.COMMANDS,
    conditions.COMMANDS,
    counters.COMMANDS,
    keys.COMMANDS,
    expiring.COMMANDS,
    scanning.COMMANDS,
    channels.COMMANDS,
    conversation.COMMANDS,
    clients.COMMANDS,
    introspection.COMMANDS,
    report.COMMANDS,
    configuration.COMMANDS,
    cluster.COMMANDS,
)

COMMANDS: Commands = MappingProxyType(
    {each.name.encode(): each for subject in _SUBJECTS for each in subject}
)
