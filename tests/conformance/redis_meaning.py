"""When two replies mean the same though their bytes differ.

Each reason here has a line in docs/protocols/table-redis.md, by the same name, and
nothing is excused anywhere else. Errors are never excused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from shoal.table.messages import SLOTS
from tests.conformance.redis_wire import Error, Words, value_at

# Between asking the one and the other; busy machines are slow.
APART_S = 20

# What Redis's COMMAND tells of families has more members than ours.
OURS_ALONE = {b"cas", b"feed", b"client|setinfo", b"client|no-touch"}

# Of the place, and of what we are; the others are to be the same.
_SETTINGS_OF_OURS = set(b"appendfsync cluster-enabled port proto-max-bulk-len".split())

_FIGURES = set(
    b"redis_version blocked_clients maxmemory maxmemory_policy loading evicted_keys "
    b"pubsub_channels pubsub_patterns role connected_slaves db0 cluster_state "
    b"cluster_slots_assigned cluster_slots_ok cluster_slots_pfail cluster_slots_fail "
    b"cluster_known_nodes cluster_size".split()
)

_ID = re.compile(rb"[0-9a-f]{40}\Z")


@dataclass(frozen=True)
class Excuse:
    """Why two replies may differ, and how much."""

    reason: str
    alike: Callable[[Any, Any], bool]


def _near(limit: int) -> Callable[[Any, Any], bool]:
    return lambda theirs, ours: (
        abs(theirs - ours) <= limit and (theirs < 0) == (ours < 0)
    )


def _same_kind(theirs: Any, ours: Any) -> bool:
    return type(theirs) is type(ours)


def _same_words(theirs: Any, ours: Any) -> bool:
    return sorted(theirs) == sorted(ours)


def _as_many(theirs: Any, ours: Any) -> bool:
    return len(theirs) == len(ours)


def _same_time(theirs: Any, ours: Any) -> bool:
    return abs(int(theirs[0]) - int(ours[0])) <= APART_S and len(ours) == 2


def _hello(theirs: Any, ours: Any) -> bool:
    one, other = (
        dict(zip(each[::2], each[1::2], strict=True)) for each in (theirs, ours)
    )
    free = {b"id", b"mode"}
    return list(one) == list(other) and all(
        one[name] == other[name] for name in one if name not in free
    )


def _clients(theirs: Any, ours: Any) -> bool:
    return _client_lines(theirs) == _client_lines(ours)


def _client_lines(text: bytes) -> list[list[str]]:
    kept = ("name", "flags", "db", "sub", "psub", "multi", "user", "resp")
    found = []
    for line in text.decode(errors="surrogateescape").splitlines():
        fields = dict(each.split("=", 1) for each in line.split(" "))
        found.append([fields[name] for name in kept])
    return sorted(found)


def _described(theirs: Any, ours: Any) -> bool:
    if len(theirs) == len(ours):
        return all(map(_same_description, theirs, ours))
    named = {each[0]: each for each in theirs}  # They were asked for all.
    return all(_same_description(named.get(each[0]), each) for each in ours)


def _same_description(theirs: Any, ours: Any) -> bool:
    if theirs is None or ours is None:
        # What we have not, and what we have alone.
        return ours is None or ours[0] in OURS_ALONE
    members = {each[0]: each for each in theirs[9]}
    places = [_without_notes(each) for each in theirs[8]]
    return _unordered([*theirs[:8], places]) == _unordered(ours[:9]) and all(
        _same_description(members.get(each[0]), each) for each in ours[9]
    )


def _without_notes(place: Any) -> Any:
    return place[2:] if place[0] == b"notes" else place


def _unordered(value: Any) -> Any:
    return (
        sorted(map(_unordered, value), key=repr) if isinstance(value, list) else value
    )


def _some_names(theirs: Any, ours: Any) -> bool:
    return set(ours) <= set(theirs) | OURS_ALONE


def _some_settings(theirs: Any, ours: Any) -> bool:
    """What both have is the same, but for what is of the place."""
    one, other = (
        dict(zip(each[::2], each[1::2], strict=True)) for each in (theirs, ours)
    )
    return other.keys() <= one.keys() and all(
        one[name] == other[name] for name in other.keys() - _SETTINGS_OF_OURS
    )


def _portion(theirs: Any, ours: Any) -> bool:
    """A cursor and some keys; a whole SCAN is compared key by key."""
    return all(
        len(each) == 2
        and each[0].isdigit()
        and all(isinstance(key, bytes) for key in each[1])
        for each in (theirs, ours)
    )


def _same_figures(theirs: Any, ours: Any) -> bool:
    """What is told of the table and its clients is the same."""
    one, other = map(_figures, (theirs, ours))
    told = _FIGURES & one.keys()
    return told <= other.keys() and all(one[name] == other[name] for name in told)


def _figures(text: bytes) -> dict[bytes, bytes]:
    found = dict(line.split(b":", 1) for line in text.split(b"\r\n") if b":" in line)
    if b"db0" in found:
        found[b"db0"] = found[b"db0"].partition(b",")[0]
    return found


def _place(theirs: Any, ours: Any) -> bool:
    """The same but for where and who: port and id."""
    if isinstance(theirs, list):
        return len(theirs) == len(ours) and all(map(_place, theirs, ours))
    if isinstance(theirs, bytes):
        return theirs == ours or all(map(_ID.match, (theirs, ours)))
    return bool(theirs == ours or min(theirs, ours) >= SLOTS)


def _nodes(theirs: Any, ours: Any) -> bool:
    """The flags, the state and the slots of each."""
    one, other = (
        [(line[2:4], line[7:]) for line in map(bytes.split, each.splitlines())]
        for each in (theirs, ours)
    )
    return one == other


def _one_of_three(theirs: Any, ours: Any) -> bool:
    return {theirs, ours} <= {b"int", b"embstr", b"raw"}


_EXCUSES = {
    b"TTL": Excuse("time", _near(APART_S)),
    b"PTTL": Excuse("time", _near(APART_S * 1000)),
    b"EXPIRETIME": Excuse("time", _near(APART_S)),
    b"PEXPIRETIME": Excuse("time", _near(APART_S * 1000)),
    b"TIME": Excuse("time", _same_time),
    b"KEYS": Excuse("order", _same_words),
    b"SCAN": Excuse("order", _portion),
    b"RANDOMKEY": Excuse("order", _same_kind),
    b"HELLO": Excuse("cluster", _hello),
    b"INFO": Excuse("info", _same_figures),
    b"CLIENT ID": Excuse("clients", _same_kind),
    b"CLIENT INFO": Excuse("clients", _clients),
    b"CLIENT LIST": Excuse("clients", _clients),
    b"COMMAND COUNT": Excuse("commands", _same_kind),
    b"COMMAND INFO": Excuse("commands", _described),
    b"COMMAND": Excuse("commands", _described),
    b"COMMAND LIST": Excuse("commands", _some_names),
    b"CONFIG GET": Excuse("config", _some_settings),
    b"MEMORY USAGE": Excuse("memory", _same_kind),
    b"OBJECT ENCODING": Excuse("memory", _one_of_three),
    b"PUBSUB CHANNELS": Excuse("order", _same_words),
    b"CLUSTER GETKEYSINSLOT": Excuse("order", _as_many),
    b"CLUSTER SLOTS": Excuse("place", _place),
    b"CLUSTER SHARDS": Excuse("place", _place),
    b"CLUSTER NODES": Excuse("place", _nodes),
    b"CLUSTER INFO": Excuse("place", _same_figures),
    b"CLUSTER MYID": Excuse("place", _place),
}

# Redis's words where a string is too long for it, and a part of ours.
_TOO_LONG = (b"-ERR string exceeds maximum allowed size", b"bytes, the longest are ")

REASONS = {"limits", *(each.reason for each in _EXCUSES.values())}


def in_order(replies: list[bytes]) -> list[bytes]:
    """One message that matches several patterns is told once for each, in any order."""
    found: list[bytes] = []
    for told, some in groupby(replies, key=_of_a_pattern):
        together = list(some)
        found += sorted(together) if told else together
    return found


def _of_a_pattern(reply: bytes) -> bool:
    return b"$8\r\npmessage" in reply[:20]


def excuse(words: Words, theirs: bytes, ours: bytes) -> str | None:
    """Why these two replies to a command, which differ, say the same; if they do."""
    if theirs.startswith(_TOO_LONG[0]) and _TOO_LONG[1] in ours:
        return "limits"
    two = b" ".join(words[:2]).upper()
    found = _EXCUSES.get(two) or _EXCUSES.get(words[0].upper())
    if found is None or theirs[:1] != ours[:1]:
        return None
    one, other = value_at(theirs)[0], value_at(ours)[0]
    if isinstance(one, Error) or one is None or other is None:
        return None
    return found.reason if found.alike(one, other) else None
