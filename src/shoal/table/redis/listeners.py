"""Who listens to which channels, and how news reach them: at once, at most once."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from shoal.table.redis.glob import MAX_COST, Matcher, cost, matcher
from shoal.table.redis.replies import CommandError, Push, encode

# Every message is compared with every pattern.
MAX_PATTERNS = 1 << 10
MAX_ALL_PATTERNS = 1 << 12

# Of all different patterns together: sixteen times the most that one may.
MAX_ALL_COST = 16 * MAX_COST
MAX_CHANNELS = 1 << 16

# Of all its channels, patterns and watched keys together.
MAX_HELD_BYTES = 4 << 20


class Listener(Protocol):
    """One who may listen."""

    version: int
    channels: dict[bytes, None]
    patterns: dict[bytes, None]
    held_bytes: int
    push: Callable[[bytes], None]


class Holder(Protocol):
    """One who may be told of names."""

    held_bytes: int


def hold(holder: Holder, names: dict[bytes, None], name: bytes) -> None:
    """One more name is among these, unless they are too long together."""
    if name in names:
        return
    if holder.held_bytes + len(name) > MAX_HELD_BYTES:
        raise CommandError(
            f"ERR a client's channels, patterns and watched keys have at most "
            f"{MAX_HELD_BYTES} bytes together"
        )
    holder.held_bytes += len(name)
    names[name] = None


L = TypeVar("L", bound=Listener)


class _News:
    """Something to tell, in each version of the protocol once."""

    def __init__(self, *items: bytes) -> None:
        self._push = Push(list(items))
        self._encoded: dict[int, bytes] = {}

    def tell(self, listener: Listener) -> None:
        version = listener.version
        if version not in self._encoded:
            self._encoded[version] = encode(self._push, version)
        listener.push(self._encoded[version])


class Listeners(Generic[L]):
    """All that is listened to; a listener is forgotten when it goes."""

    def __init__(self) -> None:
        self._channels: dict[bytes, dict[L, None]] = {}
        self._patterns: dict[bytes, tuple[Matcher, dict[L, None]]] = {}
        self._cost = 0

    def add_channel(self, listener: L, channel: bytes) -> None:
        """It listens to a channel from now on."""
        if len(listener.channels) >= MAX_CHANNELS:
            raise CommandError(f"ERR a client listens to at most {MAX_CHANNELS}")
        hold(listener, listener.channels, channel)
        self._channels.setdefault(channel, {})[listener] = None

    def add_pattern(self, listener: L, pattern: bytes) -> None:
        """It listens to all channels that match."""
        if len(listener.patterns) >= MAX_PATTERNS:
            raise CommandError(f"ERR a client has at most {MAX_PATTERNS} patterns")
        new = None
        if pattern not in self._patterns:
            if len(self._patterns) >= MAX_ALL_PATTERNS:
                raise CommandError(
                    f"ERR all clients together have at most {MAX_ALL_PATTERNS} patterns"
                )
            new = matcher(pattern)
            if self._cost + cost(pattern) > MAX_ALL_COST:
                raise CommandError("ERR all clients' patterns are too costly together")
        hold(listener, listener.patterns, pattern)
        if new:
            self._cost += cost(pattern)
            self._patterns[pattern] = (new, {})
        self._patterns[pattern][1][listener] = None

    def drop_channel(self, listener: L, channel: bytes) -> None:
        """It listens to a channel no more."""
        if channel in listener.channels:
            del listener.channels[channel]
            listener.held_bytes -= len(channel)
            del self._channels[channel][listener]
            if not self._channels[channel]:
                del self._channels[channel]

    def drop_pattern(self, listener: L, pattern: bytes) -> None:
        """It listens to what matches no more, unless for another reason."""
        if pattern in listener.patterns:
            del listener.patterns[pattern]
            listener.held_bytes -= len(pattern)
            del self._patterns[pattern][1][listener]
            if not self._patterns[pattern][1]:
                del self._patterns[pattern]
                self._cost -= cost(pattern)

    def forget(self, listener: L) -> None:
        """It listens to nothing any more."""
        for channel in list(listener.channels):
            self.drop_channel(listener, channel)
        for pattern in list(listener.patterns):
            self.drop_pattern(listener, pattern)

    def publish(
        self,
        channel: bytes,
        message: bytes,
        to: Callable[[L], bool] = lambda _: True,
    ) -> int:
        """Tell who listens, or some of them; how many times it was told."""
        direct = list(filter(to, self._channels.get(channel, ())))
        if direct:
            news = _News(b"message", channel, message)
            for listener in direct:
                news.tell(listener)
        told = len(direct)
        for pattern, (matches, listeners) in list(self._patterns.items()):
            if matches(channel):
                news = _News(b"pmessage", pattern, channel, message)
                some = list(filter(to, listeners))
                for listener in some:
                    news.tell(listener)
                told += len(some)
        return told

    def audience(self, channel: bytes) -> int:
        """How many times a message would be told."""
        told = self.count(channel)
        for matches, listeners in self._patterns.values():
            if matches(channel):
                told += len(listeners)
        return told

    def channels(self) -> list[bytes]:
        """What is listened to by name."""
        return list(self._channels)

    def count(self, channel: bytes) -> int:
        """How many listen to a channel by its name."""
        return len(self._channels.get(channel, ()))

    @property
    def patterns(self) -> int:
        """How many different patterns there are."""
        return len(self._patterns)
