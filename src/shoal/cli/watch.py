"""shoal watch: each change of some keys, once it is safe.

The peer says that a key has changed when the change is safe, and the key is read then.
Changes that come faster than they are read are told of in one line that says how many
they were; when the connection ends that is an error, so nothing is missed in silence.
"""

import os
import sys
import time
from typing import Any

from shoal.cli import which
from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import show
from shoal.cli.words import readable
from shoal.client.documents import shown
from shoal.client.news import News
from shoal.client.table import Table

# Redis's: which events a peer tells, and the name of a key's channel.
EVENTS = "notify-keyspace-events"
CHANNEL = b"__keyspace@0__:"

# Of a key (K): generic, strings, expiry.
NEEDED = "Kg$x"


def watch(
    key: str,
    /,
    *keys: str,
    count: int | None = None,
    options: Options = PLAIN,
) -> None:
    """Print each change of some keys of the table, as it happens, until Ctrl-C.

    With --json a line is an object of its own.

    Parameters
    ----------
    key
        The key.
    keys
        More keys.
    count
        End after so many lines.
    """
    client = which.client(options.timeout)
    _let_tell(client.table)
    names = [os.fsencode(each) for each in (key, *keys)]
    news = News(client.address, [CHANNEL + name for name in names], options.timeout)
    printed = 0
    for told in news:
        for changed, events in _by_key(told).items():
            value = client.table.get(changed)
            _print(changed, events, value, as_json=options.json)
            printed += 1
            if printed == count:
                return


def _let_tell(table: Table) -> None:
    """See to it that the peer tells what happens to keys, beside what it tells now."""
    [_, chosen] = table.command("CONFIG", "GET", EVENTS)
    now = chosen.decode()
    missing = [each for each in NEEDED if each not in now.replace("A", "g$x")]
    if missing:
        table.command("CONFIG", "SET", EVENTS, now + "".join(missing), retry=True)


def _by_key(told: list[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    """The events of each key, in order."""
    found: dict[bytes, list[str]] = {}
    for channel, event in told:
        found.setdefault(channel.removeprefix(CHANNEL), []).append(event.decode())
    return found


def _print(
    key: bytes, events: list[str], value: bytes | None, *, as_json: bool
) -> None:
    now = time.time()
    if as_json:
        told: dict[str, Any] = {
            "time": round(now, 3),
            "key": shown(key),
            "events": events,
            "value": None if value is None else shown(value),
        }
        show(told, as_json=True)
    else:
        at = time.strftime("%H:%M:%S", time.localtime(now))
        has = "has nothing" if value is None else f"= {readable(value)}"
        print(f"{at} {readable(key)} {has}  ({', '.join(events)})")
    sys.stdout.flush()
