"""shoal up, shoal join: start peers."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shoal.cli.options import PLAIN, Options
from shoal.cli.plan import Plan, check_alone
from shoal.core import address as addresses

Flag = Parameter(negative="")


def up(
    *,
    peers: int = 1,
    listen: str = f"{addresses.LOOPBACK}:{addresses.DEFAULT_PORT}",
    join: tuple[str, ...] = (),
    dir: Path | None = None,  # noqa: A002 - it is the option's name.
    detach: Annotated[bool, Flag] = False,
    advertise: str | None = None,
    name: str = "",
    zone: str = "",
    profile: str | None = None,
    token: Path | None = None,
    insecure: Annotated[bool, Flag] = False,
    log: str = "text",
    ready_fd: Annotated[int | None, Parameter(show=False)] = None,
    options: Options = PLAIN,
) -> int:
    """Start a peer: in the foreground until Ctrl-C, or detached.

    Parameters
    ----------
    peers
        Start so many, on this port and the next ones, in DIR/1, DIR/2, ...
    listen
        HOST:PORT, or a PORT on loopback, for TCP and UDP; 0 is any that is free.
    join
        A peer of the network to join; may be given several times.
    dir
        The data directory: who the peer is, and everything it keeps.
    detach
        Return when it is up; stop it with: shoal down.
    advertise
        HOST:PORT where others dial it, if not where it listens.
    name
        What to call it; a suffix is added that belongs to its key.
    zone
        Where it stands, such as a building; for people and placement.
    profile
        How far peers are apart: loopback, lan or wan.
    token
        The file 'token' of a peer of the network to join.
    insecure
        Listen off loopback although nothing is encrypted yet.
    log
        What log lines look like: text or json.
    """
    plan = Plan.read(
        listen=listen,
        join=join,
        directory=dir,
        advertise=advertise,
        name=name,
        zone=zone,
        profile=profile,
        token=token,
        insecure=insecure,
        log=log,
    )
    if peers == 1:
        check_alone(plan.directory)
    if detach or peers != 1:
        from shoal.cli.spawn import run_many

        return run_many(plan, peers, detach=detach, options=options)
    from shoal.cli.run import run_one

    return run_one(plan, ready_fd, as_json=options.json)


def join(
    address: str,
    /,
    *,
    listen: str = f"{addresses.LOOPBACK}:0",
    dir: Path | None = None,  # noqa: A002
    detach: Annotated[bool, Flag] = False,
    advertise: str | None = None,
    name: str = "",
    zone: str = "",
    token: Path | None = None,
    insecure: Annotated[bool, Flag] = False,
    options: Options = PLAIN,
) -> int:
    """Start a peer in the network of another: `shoal up --join ADDRESS`.

    Parameters
    ----------
    address
        HOST:PORT of any peer of that network.
    listen
        HOST:PORT, or a PORT on loopback, for TCP and UDP; 0 is any that is free.
    dir
        The data directory: who the peer is, and everything it keeps.
    detach
        Return when it is up; stop it with: shoal down.
    advertise
        HOST:PORT where others dial it, if not where it listens.
    name
        What to call it; a suffix is added that belongs to its key.
    zone
        Where it stands, such as a building.
    token
        The file 'token' of a peer of that network.
    insecure
        Listen off loopback although nothing is encrypted yet.
    """
    return up(
        listen=listen,
        join=(address,),
        dir=dir,
        detach=detach,
        advertise=advertise,
        name=name,
        zone=zone,
        token=token,
        insecure=insecure,
        options=options,
    )
