"""What can be chosen about a peer. Three profiles instead of forty knobs."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from shoal.core.address import LOOPBACK, is_loopback
from shoal.core.group import Group
from shoal.core.machine import Address
from shoal.members.settings import MembersSettings
from shoal.table.messages import Durability

Storage = Literal["log", "memory"]

# Longer than a machine takes to start again, shorter than a day's work.
GRACE_S = 600.0

__all__ = [
    "GRACE_S",
    "PROFILES",
    "Durability",
    "PeerSettings",
    "Storage",
    "profile_for",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """Everything about one peer that its owner decides."""

    directory: Path
    host: str = LOOPBACK
    port: int = 7600
    advertise: Address | None = None
    join: tuple[Address, ...] = ()
    label: str = ""
    zone: str = ""
    insecure: bool = False
    profile: str = "loopback"
    storage: Storage = "log"
    durability: Durability = "always"
    group: Group | None = None  # The fixed group that it is a node of.
    data: tuple[Path, ...] = ()  # Files and folders to add at the start.
    workers: int | None = None  # All processors but one, unless told otherwise.
    worker_memory_mb: int | None = None  # A quarter of the machine's likewise.
    catalogs: tuple[Address, ...] = ()  # Who is told that we are here.
    project: str = ""  # Under which name we are found there.
    shared_port: int | None = None  # Where others of this machine let clients in too.
    catalog_port: int | None = None  # Where we are a catalog ourselves, if so.
    public: bool = False  # May everybody reach that port?
    members: MembersSettings = field(default_factory=MembersSettings)
    # Descriptors are what runs out first; the default is what `ulimit -n` leaves.
    max_connections: int | None = None
    guest: bool = False  # It uses the table, and neither keeps it nor votes.
    replicas: int | None = None  # Copies of everything, if it founds its network.
    grace_s: float = GRACE_S  # After so long a silent member is let go.


def loopback(settings: PeerSettings) -> PeerSettings:
    """One machine: two seconds to notice a silent death."""
    return replace(settings, profile="loopback", members=MembersSettings(notice_s=2))


def lan(settings: PeerSettings) -> PeerSettings:
    """One building: the same, since a switch adds less than a busy processor does."""
    return replace(settings, profile="lan", members=MembersSettings(notice_s=2))


def wan(settings: PeerSettings) -> PeerSettings:
    """Across the world: 0.3 s round trips must fit into a probe, three times over."""
    return replace(settings, profile="wan", members=MembersSettings(notice_s=10))


PROFILES = {"loopback": loopback, "lan": lan, "wan": wan}


def profile_for(host: str) -> str:
    """The profile that an address to listen on suggests."""
    return "loopback" if is_loopback(host) else "lan"
