"""What the machine lends a peer: sockets, descriptors, and an identity of its own."""

import errno
import os
import resource
import socket
from contextlib import suppress
from getpass import getuser
from hashlib import blake2b
from pathlib import Path

from shoal.core import address as addresses
from shoal.errors import NotListening

# Left of the descriptor limit for files, workers and links.
SPARE_DESCRIPTORS = 128


def bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on one number, or `NotListening` with the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(20):
        listening = socket.socket(family, socket.SOCK_STREAM)
        datagram = socket.socket(family, socket.SOCK_DGRAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            datagram.bind((host, listening.getsockname()[1]))
        except OSError as error:
            listening.close()
            datagram.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue  # The number was free for TCP only: take another.
            raise NotListening(_not_listening(host, port, error)) from error
        listening.setblocking(False)
        datagram.setblocking(False)
        return listening, datagram
    raise NotListening(f"address {host}: no port is free for both TCP and UDP")


def bind_shared(host: str, port: int) -> socket.socket:
    """A TCP socket on a port that other peers of this machine may have too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise NotListening(_not_listening(host, port, error)) from error
    listening.setblocking(False)
    return listening


def is_ours(host: str) -> bool:
    """Does this machine have that address?"""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind((host, 0))
        except OSError:
            return False
        return True


def _not_listening(host: str, port: int, error: OSError) -> str:
    where = addresses.join(host, port)
    reason = (error.strerror or str(error)).lower()
    return f"address {where}: {reason}; listen elsewhere, such as --listen :0"


def machine_identity() -> str:
    """The same for all peers of one machine, and for no others."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            text = Path(path).read_text().strip()
            if text:
                return blake2b(text.encode(), digest_size=8).hexdigest()
    return blake2b(socket.gethostname().encode(), digest_size=8).hexdigest()


def connection_limit() -> int:
    """As many as descriptors allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, soft - SPARE_DESCRIPTORS)


def owner() -> str:
    """Who runs this; in a container perhaps nobody with a name."""
    with suppress(OSError, KeyError):
        return getuser()
    return str(os.getuid())
