"""Where a peer's state lives: one data directory, held by one process at a time.

identity.json   the key and the name; its owner's alone
token           the network's secret; whoever knows it is of the network
generation      how often this peer has started
contacts.json   whom to call on after a restart
lock            held while a peer runs; says who and where
"""

import json
import logging
import os
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from hashlib import blake2b
from pathlib import Path
from typing import Any

from shoal.core.address import join, parse
from shoal.core.hello import SECRET_BYTES, Membership
from shoal.core.identity import SEED_BYTES, Identity
from shoal.core.machine import Address
from shoal.errors import DirectoryDamaged, DirectoryHeld, InvalidAddress
from shoal.net.files import Files
from shoal.version import DISK_FORMAT

log = logging.getLogger(__name__)

# A restarted peer needs one of these alive to find its network again.
MAX_CONTACTS = 64

# Longer than a look at a lock takes.
LOOK_S = 0.3


class Home:
    """An open data directory."""

    def __init__(self, directory: Path) -> None:
        """Open and lock it, or say who holds it. Made if it does not exist."""
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DirectoryDamaged(
                f"data directory {directory}: {(error.strerror or '').lower()}; "
                "choose another with --dir"
            ) from error
        self._hold()
        self._files = Files(directory)

    def _hold(self) -> None:
        """Lock it. Who only looks whether it is locked locks it for an instant."""
        end = time.monotonic() + LOOK_S
        while True:
            try:
                return flock(self._lock, LOCK_EX | LOCK_NB)
            except OSError:
                if time.monotonic() > end:
                    os.close(self._lock)
                    raise DirectoryHeld(_held_by(self.directory)) from None
            time.sleep(0.01)  # A lock cannot be waited for with a deadline.

    def close(self) -> None:
        """Let another process have it."""
        os.ftruncate(self._lock, 0)
        flock(self._lock, LOCK_UN)
        os.close(self._lock)

    def identity(self, label: str = "", *, seed: bytes | None = None) -> Identity:
        """Who we are: as always here, or new; who has that seed, if it is given."""
        stored = self._load("identity.json")
        if stored is None:
            identity = Identity(seed or secrets.token_bytes(SEED_BYTES), label)
            self._store(
                "identity.json",
                {
                    "format": DISK_FORMAT,
                    "seed": b64encode(identity.seed).decode(),
                    "label": label,
                },
            )
            return identity
        if stored.get("format") != DISK_FORMAT:
            raise DirectoryDamaged(
                f"data directory {self.directory}: its format is "
                f"{stored.get('format')}, this program's {DISK_FORMAT}; "
                "run the version that wrote it"
            )
        try:
            ours = Identity(b64decode(stored["seed"], validate=True), stored["label"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged("identity.json", error) from error
        if seed not in (None, ours.seed):
            raise DirectoryHeld(
                f"data directory {self.directory}: it belongs to {ours.peer}, which is "
                "of another network or of a group as it was before its file changed; "
                "choose another with --dir"
            )
        return ours

    def membership(self, identity: Identity) -> Membership | None:
        """What network we are of, if of one already."""
        secret = read_token(self.directory / "token")
        return membership(identity, secret) if secret else None

    def become(self, identity: Identity, secret: bytes | None = None) -> Membership:
        """Be one of the network of that secret, or found a new network."""
        secret = secret or secrets.token_bytes(SECRET_BYTES)
        self._replace("token", secret.hex().encode() + b"\n")
        return membership(identity, secret)

    def next_generation(self) -> int:
        """Begin a new life, higher than every one before."""
        text = self._files.read("generation") if self._has("generation") else b"0"
        try:
            generation = int(text) + 1
        except ValueError as error:
            raise self._damaged("generation", error) from error
        with self._writing():
            self._replace("generation", str(generation).encode())
        return generation

    def contacts(self) -> list[Address]:
        """Whom we knew when we last ran. What cannot be read is only forgotten."""
        with suppress(DirectoryDamaged, InvalidAddress, TypeError, AttributeError):
            stored = self._load("contacts.json") or {}
            return [join(*parse(each)) for each in stored.get("addresses", [])]
        return []

    def files(self, name: str) -> Files:
        """A directory within, made if missing."""
        directory = self.directory / name
        directory.mkdir(mode=0o700, exist_ok=True)
        return Files(directory)

    def remember(self, addresses: list[Address]) -> None:
        """Keep these for the next start, and those from before as far as there is room.

        Who is away now may be all that is left of the network then.
        """
        known = [*sorted(addresses), *self.contacts()]
        kept = list(dict.fromkeys(known))[:MAX_CONTACTS]
        try:
            if kept != self.contacts():
                self._store("contacts.json", {"addresses": kept})
        except OSError as error:  # They only help to start again: no reason to end.
            log.warning("contacts are not kept: %s", error)

    def announce(self, **facts: str | int | float) -> None:
        """Say in the lock who runs here and where."""
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        with self._writing():
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, text, 0)

    # Files

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A peer that cannot write begins nothing, and says why."""
        try:
            yield
        except OSError as error:
            raise DirectoryDamaged(
                f"data directory {self.directory}: {(error.strerror or '').lower()}; "
                "mend that, or choose another with --dir"
            ) from error

    def _has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def _load(self, name: str) -> dict[str, Any] | None:
        if not self._has(name):
            return None
        try:
            stored = json.loads(self._files.read(name))
        except ValueError as error:
            raise self._damaged(name, error) from error
        if not isinstance(stored, dict):
            raise self._damaged(name, ValueError("not an object"))
        return stored

    def _store(self, name: str, value: dict[str, Any]) -> None:
        self._replace(name, json.dumps(value).encode() + b"\n")

    def _replace(self, name: str, data: bytes) -> None:
        """Write it whole or not at all."""
        fresh = f"{name}.new"
        self._files.write(fresh, data)
        self._files.sync(fresh)
        self._files.rename(fresh, name)
        self._files.sync_directory()

    def _damaged(self, name: str, error: Exception) -> DirectoryDamaged:
        return DirectoryDamaged(
            f"data directory {self.directory}: {name} cannot be read ({error}); "
            "restore it from a backup or choose another with --dir"
        )


def enter(
    home: Home, label: str, secret: bytes | None, *, seed: bytes | None = None
) -> Membership:
    """Take up our place in a network: the one we were of, that one, or a new one."""
    identity = home.identity(label, seed=seed)
    ours = home.membership(identity)
    if ours and secret in (None, ours.secret):
        return ours
    if ours and home.contacts():
        raise DirectoryHeld(
            f"data directory {home.directory}: it belongs to network "
            f"{ours.network}; join with another directory, --dir"
        )
    return home.become(identity, secret)


def membership(identity: Identity, secret: bytes) -> Membership:
    """A network's name follows from its secret, so that it cannot be mistaken."""
    digest = blake2b(secret, digest_size=5, person=b"shoal network").hexdigest()
    return Membership(identity, f"n-{digest}", secret)


def read_token(path: Path) -> bytes | None:
    """The secret in a token file; none if there is no such file."""
    try:
        text = path.read_text()
        secret = bytes.fromhex(text.strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _no_token(path, str(error)) from error
    if len(secret) != SECRET_BYTES:
        raise _no_token(path, f"not {SECRET_BYTES} bytes of hexadecimal")
    return secret


def _no_token(path: Path, cause: str) -> DirectoryDamaged:
    return DirectoryDamaged(
        f"token {path}: cannot be read ({cause}); copy it from another peer"
    )


def running(directory: Path) -> dict[str, Any] | None:
    """Who runs on a data directory, if anybody."""
    try:
        lock = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        flock(lock, LOCK_SH | LOCK_NB)
    except OSError:
        try:
            return dict(json.loads(os.pread(lock, 4096, 0)))
        except ValueError:
            return {}  # It is just starting or stopping.
    finally:
        os.close(lock)
    return None


def _held_by(directory: Path) -> str:
    who = running(directory) or {}
    name, pid = who.get("name", "a peer that is starting"), who.get("pid", "?")
    return (
        f"data directory {directory}: {name} (process {pid}) runs on it; "
        "stop it with: shoal down, or choose another directory with --dir"
    )
