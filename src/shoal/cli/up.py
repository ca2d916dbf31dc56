"""shoal up, shoal join: start peers."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from shoal.cli.fixed import chosen
from shoal.cli.options import PLAIN, Options, PortNumber
from shoal.cli.plan import Plan, check_alone
from shoal.core import address as addresses
from shoal.errors import Misuse
from shoal.settings import GRACE_S, Durability, Storage

NOT_NEGATIVE = Parameter(validator=validators.Number(gte=0))
AT_LEAST_ONE = Parameter(validator=validators.Number(gte=1))
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]


def up(
    *,
    peers: int | Literal["auto"] = 1,
    listen: str | None = None,
    join: tuple[str, ...] = (),
    static: Path | None = None,
    id: Annotated[int | None, NOT_NEGATIVE] = None,  # noqa: A002 - as users know it.
    dir: Path | None = None,  # noqa: A002 - it is the option's name.
    detach: bool = False,
    advertise: str | None = None,
    name: str = "",
    zone: str = "",
    profile: str | None = None,
    token: Path | None = None,
    insecure: bool = False,
    storage: Storage = "log",
    durability: Durability = "always",
    data: tuple[Path, ...] = (),
    workers: Annotated[int | None, AT_LEAST_ONE] = None,
    worker_memory_mb: Annotated[int | None, AT_LEAST_ONE] = None,
    log: str = "text",
    catalog: str = "",
    project: str = "",
    catalog_port: PortNumber | None = None,
    public: bool = False,
    guest: bool = False,
    replicas: Literal[1, 3, 5] | None = None,
    grace: Seconds = GRACE_S,
    lan: bool = False,
    shared_port: PortNumber | None = None,
    ready_fd: Annotated[int | None, Parameter(show=False)] = None,
    options: Options = PLAIN,
) -> int:
    """Start a peer: in the foreground until Ctrl-C, or detached.

    Parameters
    ----------
    peers
        Start so many, on the port of --listen and the next ones, in DIR/1, DIR/2,
        and so on; auto is one for every two processors, behind the one port.
    listen
        HOST:PORT, or a PORT on loopback, for TCP and UDP; 0 is any that is free.
        127.0.0.1:7600 unless told otherwise.
    join
        HOST:PORT of a peer of the network to join; may be given several times.
    static
        A file that says of which nodes a fixed group is, such as {"0": {"ip":
        "10.0.0.1", "port": 5000}}: each key has one owner and one copy for ever.
    id
        Which node of it this one is, if its address does not tell.
    dir
        The data directory: who the peer is, and everything it keeps. One for each
        port in your home unless told otherwise.
    detach
        Return when it is up; stop it with: shoal down.
    advertise
        HOST:PORT where others dial it, if not where it listens.
    name
        What to call it, such as lab1; it becomes lab1-SUFFIX, the suffix its key's.
    zone
        Where it stands, such as a building; for people and placement.
    profile
        How far peers are apart: loopback, lan or wan. Loopback on a loopback
        address, else lan, unless told otherwise.
    token
        The network's token: a copy of the file 'token' in the data directory of a
        peer of it. Found by itself if you run one on this machine.
    insecure
        Let others reach this address although nothing is encrypted yet.
    storage
        Where the table is kept: in a log on the disk, or in memory alone.
    durability
        When a change is acknowledged: always, when it is synced to the disk;
        interval, at once, and synced each second; none, and never synced by us.
    data
        A .npy file, or a folder whose .npy files are parts of one dataset, to compute
        with; may be given several times. It stays where it is, and is only read.
    workers
        So many processes compute: all processors but one unless told otherwise.
    worker_memory_mb
        What each of them may take, in MiB: a quarter of this machine's unless told
        otherwise. What needs more fails, and nothing else does.
    log
        What lines of the log look like: text or json.
    catalog
        HOST:PORT of a catalog to announce the peer to, or several with commas;
        CATALOG_HOST unless given. Without either nothing is announced.
    project
        The name to be found by in catalogs: shoal get KEY --project NAME. A newcomer
        joins the network of that name that a catalog knows, without --join, or founds
        it.
    catalog_port
        Be a catalog too: HTTP and UDP on this port, TCP for updates on the next.
    public
        Let everybody reach the catalog's ports, not only this machine.
    guest
        Use the network's table, keep nothing of it and have no vote: for a laptop.
    replicas
        1, 3 or 5 copies of everything in the table: for who starts a new network. 3
        unless told otherwise.
    grace
        Let go of a silent member after so many seconds, so that others keep what it
        kept; say the same to all peers. 600 unless told otherwise.
    lan
        Be found on the local network, under the name of --project if there is one;
        and, without --join, join a network of that name that is found there, or found
        it.
    shared_port
        A port for clients that other peers of this machine have too: the system
        spreads connections over them.
    """
    place = {"guest": guest, "replicas": replicas, "grace": grace != GRACE_S}
    unfit = {"peers": peers != 1, "join": join, "token": token, "name": name, **place}
    if fixed := chosen(static, id, advertise or listen, {**unfit, "lan": lan}):
        listen, advertise = listen or fixed.address, fixed.address
    plan = Plan.read(
        listen=listen or f"{addresses.LOOPBACK}:{addresses.DEFAULT_PORT}",
        join=join,
        fixed=fixed,
        directory=dir,
        advertise=advertise,
        name=name,
        zone=zone,
        profile=profile,
        token=token,
        insecure=insecure,
        storage=storage,
        durability=durability,
        data=data,
        workers=workers,
        worker_memory_mb=worker_memory_mb,
        log=log,
        catalog=catalog,
        project=project,
        catalog_port=catalog_port,
        public=public,
        guest=guest,
        replicas=replicas,
        grace_s=grace,
        lan=lan,
        shared_port=shared_port,
    )
    if detach or peers != 1:
        return _run_many(plan, peers, detach=detach, options=options)
    return _run_here(plan, ready_fd, options)


def _run_here(plan: Plan, ready_fd: int | None, options: Options) -> int:
    if ready_fd is None:
        _warn_of_a_project_unheard(plan)
    check_alone(plan.directory)
    from shoal.cli.run import run_one

    return run_one(plan, ready_fd, as_json=options.json)


def _warn_of_a_project_unheard(plan: Plan) -> None:
    if plan.project and not (plan.catalogs or plan.lan):
        print(
            f"shoal: project {plan.project}: nobody is told of it; name a catalog in "
            "CATALOG_HOST or with --catalog, or add --lan",
            file=sys.stderr,
        )


def per_two_processors() -> int:
    """So many peers are enough for this machine: each has a process that computes."""
    return max(1, (os.cpu_count() or 1) // 2)


def _run_many(
    plan: Plan, peers: int | Literal["auto"], *, detach: bool, options: Options
) -> int:
    _warn_of_a_project_unheard(plan)
    if peers == "auto":
        peers = per_two_processors()
        plan = plan if peers == 1 else plan.behind_one_port()
    if plan.data and peers != 1:
        raise Misuse(
            "--data: it is one peer's, and these are several; start them first, and "
            "let each have its own: SHOAL_PEER=HOST:PORT shoal add"
        )
    if peers == 1:
        check_alone(plan.directory)
    from shoal.cli.spawn import run_many

    return run_many(plan, peers, detach=detach, options=options)


def join(
    address: str,
    /,
    *,
    listen: str = f"{addresses.LOOPBACK}:0",
    dir: Path | None = None,  # noqa: A002
    detach: bool = False,
    advertise: str | None = None,
    name: str = "",
    zone: str = "",
    profile: str | None = None,
    token: Path | None = None,
    insecure: bool = False,
    storage: Storage = "log",
    durability: Durability = "always",
    data: tuple[Path, ...] = (),
    workers: Annotated[int | None, AT_LEAST_ONE] = None,
    worker_memory_mb: Annotated[int | None, AT_LEAST_ONE] = None,
    log: str = "text",
    catalog: str = "",
    project: str = "",
    guest: bool = False,
    options: Options = PLAIN,
) -> int:
    """Start a peer in the network of another: up --join, on a free port.

    Parameters
    ----------
    address
        HOST:PORT of any peer of that network. For more options than these: shoal up
        --join ADDRESS.
    listen
        HOST:PORT, or a PORT on loopback, for TCP and UDP; 0 is any that is free.
    dir
        The data directory: who the peer is, and everything it keeps. One for each
        port in your home unless told otherwise.
    detach
        Return when it is up; stop it with: shoal down.
    advertise
        HOST:PORT where others dial it, if not where it listens.
    name
        What to call it, such as lab1; it becomes lab1-SUFFIX, the suffix its key's.
    zone
        Where it stands, such as a building; for people and placement.
    profile
        How far peers are apart: loopback, lan or wan. Loopback on a loopback
        address, else lan, unless told otherwise.
    token
        The network's token: a copy of the file 'token' in the data directory of a
        peer of it. Found by itself if you run one on this machine.
    insecure
        Let others reach this address although nothing is encrypted yet.
    storage
        Where the table is kept: in a log on the disk, or in memory alone.
    durability
        When a change is acknowledged: always, when it is synced to the disk;
        interval, at once, and synced each second; none, and never synced by us.
    data
        A .npy file, or a folder whose .npy files are parts of one dataset, to compute
        with; may be given several times. It stays where it is, and is only read.
    workers
        So many processes compute: all processors but one unless told otherwise.
    worker_memory_mb
        What each of them may take: a quarter of this machine's unless told
        otherwise. What needs more fails, and nothing else does.
    log
        What lines of the log look like: text or json.
    catalog
        HOST:PORT of a catalog to announce the peer to, or several with commas;
        CATALOG_HOST unless given. Without either nothing is announced.
    project
        The name to be found by in catalogs: shoal get KEY --project NAME.
    guest
        Use the network's table, keep nothing of it and have no vote: for a laptop.
    """
    return up(
        listen=listen,
        join=(address,),
        dir=dir,
        detach=detach,
        advertise=advertise,
        name=name,
        zone=zone,
        profile=profile,
        token=token,
        insecure=insecure,
        storage=storage,
        durability=durability,
        data=data,
        workers=workers,
        worker_memory_mb=worker_memory_mb,
        log=log,
        catalog=catalog,
        project=project,
        guest=guest,
        options=options,
    )
