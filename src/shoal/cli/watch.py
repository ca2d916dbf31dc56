"""shoal watch: each change of some keys, once it is safe.

Every change is told, in order. After a fault values between may be missing, and the
last never is; when nobody can be asked any more that is an error.
"""

import os
import sys
import time
from typing import Any

from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import show
from shoal.cli.words import readable
from shoal.client.documents import shown
from shoal.client.news import News


def watch(
    key: str,
    /,
    *keys: str,
    count: int | None = None,
    options: PeerOptions = ANY,
) -> None:
    """Print each change of some keys of the table, as it happens, until Ctrl-C.

    After a fault values between may be missing; the last is always told. With --json
    a line is an object of its own.

    Parameters
    ----------
    key
        The key.
    keys
        More keys.
    count
        End after so many lines.
    """
    client = which.client(options.timeout, options.project)
    names = [os.fsencode(each) for each in (key, *keys)]
    news = News(client.address, names, options.timeout)
    printed = 0
    for told in news:
        for changed, value in told:
            _print(changed, value, as_json=options.json)
            printed += 1
            if printed == count:
                return


def _print(key: bytes, value: bytes | None, *, as_json: bool) -> None:
    now = time.time()
    if as_json:
        told: dict[str, Any] = {
            "time": round(now, 3),
            "key": shown(key),
            "value": None if value is None else shown(value),
        }
        show(told, as_json=True)
    else:
        at = time.strftime("%H:%M:%S", time.localtime(now))
        has = "has nothing" if value is None else f"= {readable(value)}"
        print(f"{at} {readable(key)} {has}")
    sys.stdout.flush()
