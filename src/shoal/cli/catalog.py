"""shoal catalog serve, shoal catalog query, shoal find."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from shoal.catalog.messages import DEFAULT_PORT, LIFETIME_S
from shoal.cli.members import ago
from shoal.cli.options import PLAIN, Options, PortNumber
from shoal.cli.outcome import show
from shoal.cli.tables import tabulate
from shoal.core.machine import Address
from shoal.errors import DirectoryDamaged, DirectoryHeld, Misuse, NoValue
from shoal.net.host import owner
from shoal.version import VERSION

# A catalog tells others of itself as seldom as genuine ones do.
ANNOUNCED_S = 300.0

EVERYWHERE, HERE = "0.0.0.0", "127.0.0.1"

# What everybody would want to know of a record.
COLUMNS = ("type", "name", "port", "project", "owner", "heard")

Seconds = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10**9))]


def serve(
    *,
    port: PortNumber = DEFAULT_PORT,
    lifetime: Seconds = LIFETIME_S,
    history: Path | None = None,
    public: bool = False,
    catalog: str = "",
    options: Options = PLAIN,
) -> int:
    """Be a catalog until Ctrl-C: who offers what, for our peers and CCTools' programs.

    Parameters
    ----------
    port
        Questions come by HTTP on this port, updates by UDP on it and by TCP on the
        next; 0 is any that is free.
    lifetime
        A record that nobody repeats ends after so many seconds.
    history
        A directory that keeps what was known, through restarts, for questions about
        the past. Nothing is kept unless it is given.
    public
        Listen on every address of this machine, not on loopback alone. Everybody who
        reaches it may read, and announce themselves.
    catalog
        HOST:PORT of a catalog that is told of this one, or several with commas;
        CATALOG_HOST unless given.
    """
    from shoal.cli.run import run_loop
    from shoal.cli.which import catalogs

    told = catalogs(catalog)
    run_loop(_serve(port, lifetime, history, told, public=public, as_json=options.json))
    return 0


async def _serve(
    port: int,
    lifetime_s: int,
    history: Path | None,
    catalogs: tuple[Address, ...],
    *,
    public: bool,
    as_json: bool,
) -> None:
    from shoal.catalog.announcer import Announcer
    from shoal.catalog.ports import bind_catalog
    from shoal.catalog.service import CatalogService

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def fail(error: Exception) -> None:
        if not ended.done():
            ended.set_exception(error)

    logging.basicConfig(format="shoal: %(message)s", level=logging.WARNING)
    disk = _open(history) if history else None
    sockets = bind_catalog(EVERYWHERE if public else HERE, port)
    service = CatalogService(fail=fail, lifetime_s=lifetime_s, disk=disk)
    await service.open(*sockets)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, ended)
    host = socket.gethostname() if public else HERE
    number = sockets[0].getsockname()[1]
    about = _about(host, number)
    announcer = Announcer(catalogs, lambda: about, interval_s=ANNOUNCED_S)
    announcer.start()
    _tell_up(host, number, lifetime_s, as_json=as_json)
    try:
        await ended
    finally:
        await announcer.leave()
        await service.close()


def _about(host: str, port: int) -> dict[str, Any]:
    """What genuine catalogs say of themselves to others."""
    return {
        "type": "catalog",
        "name": socket.gethostname(),
        "url": f"http://{host}:{port}",
        "port": port,
        "starttime": int(time.time()),
        "owner": owner(),
        "version": VERSION,
    }


def _end(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)


def _open(history: Path) -> Any:  # noqa: ANN401 - imported when there is one.
    from shoal.net.files import Files

    try:
        history.mkdir(parents=True, exist_ok=True)
        lock = os.open(history / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        flock(lock, LOCK_EX | LOCK_NB)  # Until the process ends.
        return Files(history)
    except BlockingIOError as error:
        raise DirectoryHeld(
            f"history {history}: another catalog writes it; choose another directory "
            "with --history"
        ) from error
    except OSError as error:
        raise DirectoryDamaged(
            f"history {history}: {(error.strerror or str(error)).lower()}; choose "
            "another directory with --history"
        ) from error


def _tell_up(host: str, port: int, lifetime_s: int, *, as_json: bool) -> None:
    told = {"host": host, "port": port, "lifetime_s": lifetime_s, "pid": os.getpid()}
    if as_json:
        print(json.dumps(told), flush=True)
        return
    print(
        f"catalog at http://{host}:{port}/\n"
        f"  updates by UDP to {port}, by TCP to {port + 1}; "
        f"records live {lifetime_s} s\n"
        f"  use it:   export CATALOG_HOST={host}:{port}\n"
        "  stop it:  Ctrl-C",
        flush=True,
    )


def query(
    *,
    where: str = "true",
    output: str = "",
    catalog: str = "",
    options: Options = PLAIN,
) -> None:
    """List the records of a catalog: everything that is announced to it.

    Parameters
    ----------
    where
        Only those for which this is true, such as 'type=="hashtable" and cpus>4'.
    output
        Print what this comes to for each record, such as 'name+":"+port'.
    catalog
        HOST:PORT of a catalog, or several with commas; CATALOG_HOST unless given.
    """
    from shoal.client.catalogs import Catalogs

    shown = _Shown(output) if output else None
    known = Catalogs(addresses_of(catalog))
    found = known.query(where, within_s=options.timeout)
    if shown:
        show([shown.of(each) for each in found], as_json=options.json, people=_lines)
    else:
        show(found, as_json=options.json, people=_table)


def find(
    expression: str, /, *, catalog: str = "", options: Options = PLAIN
) -> int | None:
    """List who offers what you look for, the one heard from last first.

    Parameters
    ----------
    expression
        What must be true of them, such as 'project=="temps" and cpus>4'. Those who
        leave, or were not heard from for three minutes, are not listed.
    catalog
        HOST:PORT of a catalog, or several with commas; CATALOG_HOST unless given.
    """
    from shoal.cli.outcome import NOT_FOUND
    from shoal.client.catalogs import Catalogs

    known = Catalogs(addresses_of(catalog))
    found = known.find(expression, within_s=options.timeout)
    show(found, as_json=options.json, people=_table)
    return None if found else NOT_FOUND


def addresses_of(given: str) -> tuple[Address, ...]:
    """The catalogs that are meant, or `Misuse` if none are."""
    from shoal.cli.which import catalogs

    found = catalogs(given)
    if not found:
        raise Misuse(
            "catalog: none is known; name one with --catalog HOST:PORT, or in "
            "CATALOG_HOST"
        )
    return found


class _Shown:
    """What somebody wants printed of each record."""

    def __init__(self, text: str) -> None:
        from shoal.core.filters.meaning import Filter

        self._filter = Filter(text, strict=True)

    def of(self, record: dict[str, Any]) -> Any:  # noqa: ANN401 - what JSON can say.
        """Its value, or nothing where it has none."""
        try:
            return self._filter.value(record)
        except NoValue:
            return None


def _lines(found: list[Any]) -> None:
    for value in found:
        line = value if isinstance(value, str) else json.dumps(value)
        print("".join(sign if sign.isprintable() else " " for sign in line))


def _table(found: list[dict[str, Any]]) -> None:
    if not found:
        print("nothing announced fits", file=sys.stderr)
        return
    rows = [[_cell(each, title) for title in COLUMNS] for each in found]
    tabulate(COLUMNS, rows, foldable=("project", "owner"))


def _cell(record: dict[str, Any], title: str) -> str:
    if title == "heard":
        heard = record.get("lastheardfrom")
        known = isinstance(heard, int | float) and 0 <= heard <= time.time() + 1e6
        return f"{ago(float(heard))} ago" if known else ""  # type: ignore[arg-type]
    value = record.get(title, "")
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(sign if sign.isprintable() else " " for sign in text)
