"""What `shoal up` was asked for, checked and completed."""

import socket
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from shoal.cli import which
from shoal.cli.fixed import Fixed
from shoal.core import address as addresses
from shoal.core.identity import checked_label
from shoal.core.machine import Address
from shoal.errors import (
    DirectoryHeld,
    InvalidAddress,
    InvalidName,
    Misuse,
    NotFound,
    NotListening,
)
from shoal.net.home import read_token
from shoal.net.registry import default_directory, list_running
from shoal.settings import (
    GRACE_S,
    PROFILES,
    Durability,
    PeerSettings,
    Storage,
    profile_for,
)

# As long as a member's record has room for.
MAX_ZONE = 24

# A catalog has room for more, a line of a table has not.
MAX_PROJECT = 100

INSECURE = (
    "insecure: what peers say to each other is not encrypted, and whoever can reach "
    "this address can join, read and change everything; use it only where you trust "
    "everybody on the network"
)


@dataclass(frozen=True)
class Plan:
    """One peer to start, or the first of several."""

    host: str
    port: int
    directory: Path
    join: tuple[Address, ...]
    advertise: Address | None
    name: str
    zone: str
    profile: str
    secret: bytes | None
    insecure: bool
    storage: Storage
    durability: Durability
    data: tuple[Path, ...]
    workers: int | None
    worker_memory_mb: int | None
    log: str
    fixed: Fixed | None
    catalogs: tuple[Address, ...] = ()
    project: str = ""
    catalog_port: int | None = None
    public: bool = False
    guest: bool = False
    replicas: int | None = None
    grace_s: float = GRACE_S
    lan: bool = False
    shared_port: int | None = None

    @classmethod
    def read(
        cls,
        *,
        listen: str,
        join: tuple[str, ...] = (),
        directory: Path | None = None,
        advertise: str | None = None,
        name: str = "",
        zone: str = "",
        profile: str | None = None,
        token: Path | None = None,
        insecure: bool = False,
        storage: Storage = "log",
        durability: Durability = "always",
        data: tuple[Path, ...] = (),
        workers: int | None = None,
        worker_memory_mb: int | None = None,
        log: str = "text",
        fixed: Fixed | None = None,
        catalog: str = "",
        project: str = "",
        catalog_port: int | None = None,
        public: bool = False,
        guest: bool = False,
        replicas: int | None = None,
        grace_s: float = GRACE_S,
        lan: bool = False,
        shared_port: int | None = None,
    ) -> "Plan":
        """Check everything that can be checked before anything is started."""
        host, port = addresses.parse(listen)
        _check_known(host)
        _check_reach(listen, host, insecure=insecure)
        joined = tuple(addresses.join(*addresses.parse(each)) for each in join)
        _check_way_back(host, advertise, joined)
        if log not in ("text", "json"):
            raise InvalidName(f"log form {log!r}: unknown; use text or json")
        return cls(
            host=host,
            port=port,
            directory=(directory or default_directory(port)).expanduser().absolute(),
            join=joined,
            advertise=_dialable(advertise, host),
            name=checked_label(name) if name else "",
            zone=checked_label(zone, MAX_ZONE) if zone else "",
            profile=_chosen_profile(profile, host),
            secret=_secret(token, joined),
            insecure=insecure,
            storage=storage,
            durability=durability,
            data=tuple(_there(each) for each in data),
            workers=workers,
            worker_memory_mb=worker_memory_mb,
            log=log,
            fixed=fixed,
            catalogs=which.catalogs(catalog),
            project=_project(project),
            catalog_port=catalog_port,
            public=public,
            guest=guest and _has_hosts(joined, directory or default_directory(port)),
            replicas=replicas,
            grace_s=grace_s,
            lan=lan and _has_neighbours(host, advertise),
            shared_port=shared_port,
        )

    def settings(self) -> PeerSettings:
        """What the peer itself needs to know."""
        plain = PeerSettings(
            directory=self.directory,
            host=self.host,
            port=self.port,
            advertise=self.advertise,
            join=self.join,
            label=self.name,
            zone=self.zone,
            insecure=self.insecure,
            storage=self.storage,
            durability=self.durability,
            data=self.data,
            workers=self.workers,
            worker_memory_mb=self.worker_memory_mb,
            group=self.fixed.group if self.fixed else None,
            catalogs=self.catalogs,
            project=self.project,
            shared_port=self.shared_port,
            catalog_port=self.catalog_port,
            public=self.public,
            guest=self.guest,
            replicas=self.replicas,
            grace_s=self.grace_s,
        )
        return PROFILES[self.profile](plain)

    def joining(self, *found: Address) -> "Plan":
        """To join one of those, with its token if it is a peer of ours."""
        return replace(self, join=found, secret=self.secret or _secret(None, found))

    def behind_one_port(self) -> "Plan":
        """Several share the port, and each has one of its own after it."""
        if not self.port or self.shared_port:
            raise Misuse(
                "--peers auto: they share the port of --listen, so it must be one; "
                "or say how many peers there are to be, and --shared-port"
            )
        return replace(self, shared_port=self.port, port=self.port + 1)

    def number(self, n: int) -> "Plan":
        """The n-th of several peers, from 1: its own directory, port and name."""
        return replace(
            self,
            directory=self.directory / str(n),
            port=self.port + n - 1 if self.port else 0,
            name=f"{self.name}{n}" if self.name else "",
            # A catalog has two numbers.
            catalog_port=self.catalog_port and self.catalog_port + 2 * (n - 1),
        )


def _check_known(host: str) -> None:
    """A host to listen on is a number, or a name that means one."""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise InvalidAddress(
            f"address {host}: no host of that name is known here; listen on a port "
            "of this machine, such as --listen 7642, or on HOST:PORT"
        ) from error


def _check_reach(listen: str, host: str, *, insecure: bool) -> None:
    if not addresses.is_loopback(host) and not insecure:
        raise NotListening(
            f"address {listen}: off this machine nothing is encrypted yet, and "
            "whoever reaches it could join; "
            "if you trust everybody on that network, add --insecure"
        )


def _has_neighbours(host: str, advertise: str | None) -> bool:
    """Who is to be found on the local network must be there."""
    if find_spec("zeroconf") is None:
        raise Misuse("--lan: it needs zeroconf; run: pip install 'shoal[lan]'")
    where = addresses.parse(advertise)[0] if advertise else host
    if addresses.is_loopback(where):
        raise Misuse(
            f"--lan: {where} is this machine alone; listen where others can reach "
            "you, with --listen HOST:PORT --insecure"
        )
    return True


def _has_hosts(joined: tuple[Address, ...], directory: Path) -> bool:
    """A guest needs somebody whose guest it is."""
    if not joined and not (directory / "contacts.json").exists():
        raise Misuse(
            "--guest: it keeps nothing itself, and knows of nobody who does; say "
            "whose network it is, with --join HOST:PORT"
        )
    return True


def _chosen_profile(profile: str | None, host: str) -> str:
    chosen = profile or profile_for(host)
    if chosen not in PROFILES:
        raise InvalidName(f"profile {chosen!r}: unknown; use loopback, lan or wan")
    return chosen


def _check_way_back(
    host: str, advertise: str | None, joined: tuple[Address, ...]
) -> None:
    """Who joins another machine must be reachable from there."""
    far = [
        each for each in joined if not addresses.is_loopback(addresses.parse(each)[0])
    ]
    if far and addresses.is_loopback(host) and not advertise:
        raise NotListening(
            f"address {host}: nobody at {far[0]} could dial it; "
            "listen where they can, with --listen HOST:PORT --insecure"
        )


def check_alone(directory: Path) -> None:
    """One peer does not move in where several live."""
    if (directory / "1" / "identity.json").exists() and not (
        directory / "identity.json"
    ).exists():
        many = len(list(directory.glob("*/identity.json")))
        raise DirectoryHeld(
            f"data directory {directory}: it holds {many} peers; bring them back with "
            f"--peers {many}; or choose another with --dir"
        )


def _project(name: str) -> str:
    """A name as catalogs keep it: printable, and ASCII."""
    if len(name) > MAX_PROJECT or not all(" " <= letter <= "~" for letter in name):
        raise InvalidName(
            f"project {name[:60]!r}: up to {MAX_PROJECT} plain letters, digits and "
            "signs; choose another"
        )
    return name


def _there(path: Path) -> Path:
    """A file or folder to add; whether it holds rows is found out by a worker."""
    whole = path.expanduser().absolute()
    if not whole.exists():
        raise NotFound(f"data {path}: there is no such file or folder; correct it")
    return whole


def taken_by(port: int) -> str:
    """Who has a port, as far as we can tell."""
    for each in list_running():
        if each.port == port:
            return f"{each.name} (process {each.pid}) has it"
    return "another program has it"


def _dialable(advertise: str | None, host: str) -> Address | None:
    if advertise:
        return addresses.join(*addresses.parse(advertise))
    if host in ("0.0.0.0", "::"):
        raise NotListening(
            f"address {host}: others cannot dial it; say where they can, "
            "with --advertise HOST:PORT"
        )
    return None


def _secret(token: Path | None, join: tuple[Address, ...]) -> bytes | None:
    """The token that was given, or that of a peer of ours on this machine."""
    if token:
        secret = read_token(token.expanduser())
        if secret is None:
            raise InvalidName(f"token {token}: no such file; copy it from a peer")
        return secret
    for each in join:
        if secret := which.token_of(each):
            return secret
    return which.token_given() if join else None
