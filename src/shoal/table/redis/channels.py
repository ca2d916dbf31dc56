"""Commands on channels: who listens is told what is published, at most once; and on the
feed: who watches a key is told what becomes of it."""

from collections.abc import Callable
from functools import partial

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES
from shoal.table.redis.commands import TURN_BYTES, Command, Family, TalkCommand, help_on
from shoal.table.redis.feed import admit
from shoal.table.redis.glob import matcher
from shoal.table.redis.replies import (
    LATER,
    CommandError,
    Push,
    Reply,
    Several,
    encode,
)
from shoal.table.redis.server import Client
from shoal.table.redis.talk import RedisTalk
from shoal.table.routes import HERE

# What it costs to compare a pattern, in bytes of replies: 2 us.
_PATTERN_WORK = 400

_HELP = (
    "PUBSUB <subcommand> [argument ...]. There are:",
    "CHANNELS [pattern]: names that somebody listens to.",
    "NUMPAT: how many patterns somebody listens to.",
    "NUMSUB [channel ...]: how many listen to each.",
    "HELP: this.",
)


def publish(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PUBLISH channel message: how many were told here; it is told everywhere."""
    channel, message = words
    if len(channel) > MAX_KEY_BYTES or len(message) > MAX_VALUE_BYTES:
        raise CommandError(
            f"ERR at most {MAX_KEY_BYTES} bytes are a channel, "
            f"{MAX_VALUE_BYTES} a message"
        )
    listeners, table = talk.server.listeners, talk.server.table
    talk.spend(listeners.patterns * _PATTERN_WORK)
    # What it published before may still wait: it is told in order, or neither is.
    ticket = max(table.rests_on, talk.published_after)
    others = partial(_tell_others, talk, channel, message)
    if ticket and table.after(ticket, others):
        talk.published_after = table.rests_on = ticket
        # It is told itself among its own answers, which wait for the same.
        listeners.publish(channel, message, lambda c: c is talk.client)
        return listeners.audience(channel)
    told = listeners.publish(channel, message)
    talk.server.spread(channel, message)
    return told


def _tell_others(talk: RedisTalk, channel: bytes, message: bytes) -> None:
    """All but the one who published it, at every peer."""
    talk.server.listeners.publish(channel, message, lambda c: c is not talk.client)
    talk.server.spread(channel, message)


def subscribe(talk: RedisTalk, words: list[bytes]) -> Reply:
    """SUBSCRIBE channel [channel ...]."""
    add = talk.server.listeners.add_channel
    return _each(talk.client, b"subscribe", words, lambda c, name: add(c, name))


def psubscribe(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PSUBSCRIBE pattern [pattern ...]."""
    add = talk.server.listeners.add_pattern
    return _each(talk.client, b"psubscribe", words, lambda c, name: add(c, name))


def unsubscribe(talk: RedisTalk, words: list[bytes]) -> Reply:
    """UNSUBSCRIBE [channel ...]: from all if none is named."""
    drop = talk.server.listeners.drop_channel
    names: list[bytes] | list[None] = words or list(talk.client.channels) or [None]
    return _each(talk.client, b"unsubscribe", names, lambda c, name: drop(c, name))


def punsubscribe(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PUNSUBSCRIBE [pattern ...]: from all if none is named."""
    drop = talk.server.listeners.drop_pattern
    names: list[bytes] | list[None] = words or list(talk.client.patterns) or [None]
    return _each(talk.client, b"punsubscribe", names, lambda c, name: drop(c, name))


def _each(
    client: Client,
    kind: bytes,
    names: list[bytes] | list[None],
    change: Callable[[Client, bytes], None],
) -> Reply:
    """One reply for each name: to how many the client listens then."""
    replies: list[Reply] = []
    for name in names:
        if name is not None:
            try:
                if len(name) > MAX_KEY_BYTES:
                    raise CommandError(f"ERR a name has {MAX_KEY_BYTES} bytes at most")
                change(client, name)
            except CommandError as wrong:
                replies.append(wrong)
                break
        count = len(client.channels) + len(client.patterns)
        replies.append(Push([kind, name, count]))
    client.settle()
    return Several(replies)


def feed(talk: RedisTalk, words: list[bytes]) -> Reply:
    """FEED key [key ...]: what each has, and from then on every change of it."""
    for key in words:
        admit(talk.client, key)
    talk.client.settle()
    routes = talk.server.abroad.routes
    if routes.whole or all(routes.owner(key) is HERE for key in words):
        return Several([_watch(talk, key) for key in words])
    turn, version = talk.travel(), talk.client.version
    for key in words:
        if routes.owner(key) is HERE:
            turn.tell(encode(_watch(talk, key), version))
        else:
            talk.server.afar.watch(talk.client, key, turn.expect())
    talk.merge = b"".join
    return LATER


def _watch(talk: RedisTalk, key: bytes) -> Reply:
    """A key that this peer answers for."""
    table = talk.server.table
    entry = table.find(key)
    talk.server.feed.add(talk.client, key, table.sequence)
    return Push([b"feed", key, entry.value if entry else None])


def channels(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PUBSUB CHANNELS [pattern]."""
    if len(words) > 1:
        raise CommandError(
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. "
            "Try PUBSUB HELP."
        )
    matches = matcher(words[0]) if words else None
    names = talk.server.listeners.channels()
    return [name for name in names if not matches or matches(name)]


def numsub(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PUBSUB NUMSUB [channel ...]."""
    replies: list[Reply] = []
    for name in words:
        replies += [name, talk.server.listeners.count(name)]
    return replies


def numpat(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PUBSUB NUMPAT."""
    return talk.server.listeners.patterns


_LISTEN = "pubsub noscript loading stale"
_LOOK = "pubsub loading stale"

COMMANDS: list[Command] = [
    TalkCommand("PUBLISH", 3, publish, "pubsub loading stale fast"),
    TalkCommand("SUBSCRIBE", -2, subscribe, _LISTEN, changes=True),
    TalkCommand("UNSUBSCRIBE", -1, unsubscribe, _LISTEN, changes=True),
    TalkCommand("PSUBSCRIBE", -2, psubscribe, _LISTEN, changes=True),
    TalkCommand("PUNSUBSCRIBE", -1, punsubscribe, _LISTEN, changes=True),
    TalkCommand(
        "FEED", -2, feed, "readonly pubsub", first_key=1, last_key=-1, changes=True
    ),
    Family(
        "PUBSUB",
        (
            TalkCommand("PUBSUB|CHANNELS", -2, channels, _LOOK, work=TURN_BYTES),
            TalkCommand("PUBSUB|NUMSUB", -2, numsub, _LOOK),
            TalkCommand("PUBSUB|NUMPAT", 2, numpat, _LOOK),
            help_on("PUBSUB", _HELP),
        ),
    ),
]
