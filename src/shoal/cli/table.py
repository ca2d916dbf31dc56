"""shoal put, get, del, keys: the table from a command line.

A key or a value on the command line is its bytes, whatever they mean as text.
"""

import os
import sys
from typing import Annotated

from cyclopts import Parameter, validators

from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import NOT_FOUND, show
from shoal.client.documents import shown
from shoal.errors import NotFound

# What stands for standard input.
STDIN = "-"

# A hyphen of its own, or before a number, is no option.
ANYTHING = Parameter(allow_leading_hyphen=True)

SECONDS = Parameter(name="--ttl", validator=validators.Number(gt=0))


def put(
    key: str,
    value: Annotated[str, ANYTHING],
    /,
    *,
    ttl: Annotated[float | None, SECONDS] = None,
    options: PeerOptions = ANY,
) -> None:
    """Let a key of the table have a value.

    Parameters
    ----------
    key
        Up to 64 KiB.
    value
        Up to 8 MiB; - is what comes from standard input. After --, it may begin
        with a hyphen.
    ttl
        Let it end after so many seconds.
    """
    data = sys.stdin.buffer.read() if value == STDIN else os.fsencode(value)
    which.client(options.timeout, options.project).table.put(
        os.fsencode(key), data, ttl_s=ttl
    )
    if options.json:
        show({"key": shown(os.fsencode(key)), "bytes": len(data)}, as_json=True)


def get(key: str, /, *, options: PeerOptions = ANY) -> None:
    """Print what a key of the table has; ends with 4 if it has nothing.

    The bytes as they are: a line end is added only where a terminal shows them.

    Parameters
    ----------
    key
        The key.
    """
    value = which.client(options.timeout, options.project).table.get(os.fsencode(key))
    if value is None:
        raise nothing(key)
    if options.json:
        told = {"key": shown(os.fsencode(key)), "value": shown(value)}
        show(told, as_json=True)
        return
    sys.stdout.buffer.write(value + b"\n" if sys.stdout.isatty() else value)


def delete(key: str, /, *keys: str, options: PeerOptions = ANY) -> int:
    """Let keys of the table have nothing; ends with 4 if none of them had anything.

    Parameters
    ----------
    key
        The key.
    keys
        More keys.
    """
    keys = (key, *keys)
    names = [os.fsencode(each) for each in keys]
    gone = which.client(options.timeout, options.project).table.delete_many(names)
    if not gone and not options.json:
        raise nothing(" ".join(keys))
    show(
        {"deleted": gone},
        as_json=options.json,
        people=lambda _: print(f"{gone} deleted") if len(keys) > 1 else None,
    )
    return 0 if gone else NOT_FOUND


def keys(pattern: str = "*", /, *, options: PeerOptions = ANY) -> None:
    """List the keys of the table, a line each.

    Parameters
    ----------
    pattern
        Those that fit only: * is anything, ? any letter, [a-z] any of these.
    """
    found = which.client(options.timeout, options.project).table.scan(
        os.fsencode(pattern)
    )
    if options.json:
        show([shown(key) for key in found], as_json=True)
        return
    for key in found:
        sys.stdout.buffer.write(key + b"\n")


def nothing(key: str) -> NotFound:
    """The table has no such key."""
    text = key.encode(errors="backslashreplace").decode()
    return NotFound(f"key {text}: the table has nothing there; see: shoal keys")
