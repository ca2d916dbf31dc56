"""Addresses as people write them: HOST:PORT, [IPv6]:PORT, :PORT, PORT or HOST."""

from ipaddress import ip_address

from shoal.core.machine import Address
from shoal.errors import InvalidAddress

DEFAULT_PORT = 7600
MAX_HOST = 58
LOOPBACK = "127.0.0.1"


def parse(text: str) -> tuple[str, int]:
    """Host and port, the missing one by default."""
    bare = text.isascii() and text.isdigit()  # Nobody calls a machine 7642.
    host, colon, port = (f":{text}" if bare else text).rpartition(":")
    if not colon or (host.count(":") and not host.startswith("[")):
        host, port = text, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InvalidAddress(
            f"address {text!r}: the port is not a number from 0 to 65535; "
            "write HOST:PORT, such as lab1:7600"
        )
    if not all("!" <= letter <= "~" for letter in host) or len(host) > MAX_HOST:
        raise InvalidAddress(f"address {text!r}: no such host; write HOST:PORT")
    return host, int(port)


def join(host: str, port: int) -> Address:
    """The one way to write it."""
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def is_loopback(host: str) -> bool:
    """Can only programs of this machine reach it?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def are_same(one: Address, other: Address) -> bool:
    """Do both mean one place? `localhost` is any loopback address."""
    (host, port), (other_host, other_port) = parse(one), parse(other)
    if port != other_port:
        return False
    hosts = {host.lower(), other_host.lower()}
    return len(hosts) == 1 or ("localhost" in hosts and all(map(is_loopback, hosts)))
