"""Run one peer in this process, until it is told to end."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import compress, islice
from logging.handlers import RotatingFileHandler
from typing import Any

from shoal.cli.footprint import Footprint
from shoal.cli.outcome import code_of, complain
from shoal.cli.plan import INSECURE, Plan, taken_by
from shoal.client.catalogs import Catalogs, those_there
from shoal.core import address as addresses
from shoal.core.hello import Membership
from shoal.core.identity import Identity
from shoal.core.machine import Address
from shoal.errors import Foreign, NotListening, ShoalError, Unreachable
from shoal.net.dialler import ask_invitation, newcomer
from shoal.net.home import Home, enter, membership
from shoal.net.registry import list_running, register
from shoal.peer import Peer

# Two files of five megabytes: a peer that logs for ever fills no disk.
LOG_BYTES = 5_000_000

# Who is to be joined is looked for in catalogs so long, and so many are tried.
FIND_S = 6.0
MAX_CONTACTS = 8

# So many who can be dialled are asked whether they are peers at all.
MAX_FOUND = 64


def run_one(plan: Plan, ready_fd: int | None, *, as_json: bool) -> int:
    """Run the peer; the exit code. `ready_fd` is where a parent waits for news."""
    tell = _Teller(ready_fd, as_json=as_json)
    try:
        run_loop(_serve(plan, tell, quiet=ready_fd is not None))
    except ShoalError as error:
        return tell.failed(error)
    return 0


class _Teller:
    """Tells a parent process, or a person, that the peer is up or why it is not."""

    def __init__(self, ready_fd: int | None, *, as_json: bool) -> None:
        self._fd = ready_fd
        self._as_json = as_json

    def up(self, facts: dict[str, Any]) -> None:
        """The peer is up."""
        if self._fd is not None:
            self._write(facts)
        elif self._as_json:
            print(json.dumps(facts), flush=True)
        else:
            print_up(facts, stays=True)

    def failed(self, error: ShoalError) -> int:
        """The peer is not up; the exit code."""
        if self._fd is None:
            return complain(error, as_json=self._as_json)
        self._write({"kind": type(error).__name__, "message": str(error)})
        return code_of(error)

    def _write(self, facts: dict[str, Any]) -> None:
        assert self._fd is not None, "nobody to tell"
        with suppress(OSError):  # The parent waits no more; the log has it too.
            os.write(self._fd, json.dumps(facts).encode() + b"\n")
            os.close(self._fd)
        self._fd = None
        logging.info("%s", facts)


def print_up(facts: dict[str, Any], *, stays: bool) -> None:
    """Say where a peer is and what to do with it; `stays` if it has this terminal."""
    print(
        f"{where(facts)}\n"
        f"  network {facts['network']}, profile {facts['profile']}, "
        f"state in {facts['directory']}\n"
        f"{_how_to_join(facts)}"
        f"  stop it:  {'Ctrl-C, or: ' if stays else ''}shoal down {facts['name']}",
        flush=True,
    )


def where(facts: dict[str, Any]) -> str:
    """Where a peer listens, and its catalog if it has one."""
    also = (
        f", its catalog on port {port}" if (port := facts.get("catalog_port")) else ""
    )
    return f"peer {facts['name']} is up at {facts['address']}{also}"


def _how_to_join(facts: dict[str, Any]) -> str:
    if nodes := facts.get("nodes"):
        return f"  one of the {nodes} nodes of a fixed group\n"
    return f"  join it:  shoal join {facts['address']}\n"


async def _serve(plan: Plan, tell: _Teller, *, quiet: bool) -> None:
    footprint = Footprint(plan.directory)
    # Held until the process ends, so that who waits for the lock waits for all of it.
    home = Home(plan.directory)
    try:
        _log_to(plan, quiet=quiet)
        if plan.insecure:
            logging.warning(INSECURE)
        plan = await _with_project(home, plan)
        if plan.lan:
            await _live_among_neighbours(home, plan, tell)
        else:
            await _live(home, plan, tell, _nobody)
    except ShoalError:
        footprint.erase()
        raise


async def _with_project(home: Home, plan: Plan) -> Plan:
    """With a network of our project to join, if we are of none and catalogs know it."""
    looks = plan.project and plan.catalogs and not (plan.join or plan.fixed)
    # Whom it would make up is not who a fixed group says: asked only who looks.
    if not looks or home.contacts() or home.membership(home.identity(plan.name)):
        return plan
    try:
        found = await asyncio.to_thread(_peers_of, plan.project, plan.catalogs)
    except Unreachable as error:
        logging.warning("project %s is founded: %s", plan.project, error)
        return plan
    peers = await _peers_among(found, home, plan)
    logging.info("of project %s: %s", plan.project, ", ".join(peers) or "nobody yet")
    return plan.joining(*peers)


async def _peers_among(
    found: list[Address], home: Home, plan: Plan
) -> tuple[Address, ...]:
    """Anybody may announce anything: who is no peer keeps nobody from founding.

    Who says nothing may be a peer that is busy, and is named if nobody answered.
    """
    are = await asyncio.gather(*(_is_peer(each, home, plan) for each in found))
    silent = compress(found, (is_peer is None for is_peer in are))
    return (tuple(compress(found, are)) or tuple(silent))[:MAX_CONTACTS]


async def _is_peer(address: Address, home: Home, plan: Plan) -> bool | None:
    """Nobody knows it of who is silent."""
    try:
        await _ask(address, home.identity(plan.name), plan)
    except Foreign as error:
        logging.warning("passed over: %s", error)  # There may be no project to name.
        return False
    except Unreachable as error:
        return False if isinstance(error.__cause__, ConnectionRefusedError) else None
    except ShoalError:
        pass  # It will not have us: to be told once more, and in the end.
    return True


def _peers_of(project: str, catalogs: tuple[Address, ...]) -> list[Address]:
    """Some that are there now, the one heard from last first."""
    found = Catalogs(catalogs).peers_of(project, within_s=FIND_S)
    return list(islice(those_there(found, within_s=FIND_S), MAX_FOUND))


async def _nobody(_: Peer) -> None:
    """Who is not to be found on the local network tells nobody there."""


async def _live_among_neighbours(home: Home, plan: Plan, tell: _Teller) -> None:
    """Find our network on the local one, or let it be found there."""
    from shoal.net.lan import Lan

    identity = home.identity(plan.name)
    ours = home.membership(identity)
    if plan.secret and ours is None:
        ours = membership(identity, plan.secret)
    host = addresses.parse(plan.advertise)[0] if plan.advertise else plan.host
    async with Lan.open(identity.peer, plan.project, host) as lan:
        if not plan.join and not home.contacts():
            network = ours.network if ours else ""
            peers = await lan.find(network, lambda at: _peers_among(at, home, plan))
            logging.info("on the local network: %s", ", ".join(peers) or "nobody")
            plan = replace(plan, join=tuple(peers))
        await _live(
            *(home, plan, tell),
            lambda peer: lan.announce(peer.membership.network, peer.address),
        )


async def _live(
    home: Home, plan: Plan, tell: _Teller, announce: Callable[[Peer], Awaitable[None]]
) -> None:
    try:
        network = await _enter(home, plan)
        _check_shared(plan, network)
        await _check_reachable(plan.join)
        register(plan.directory)
        loop = asyncio.get_running_loop()
        async with Peer.open(plan.settings(), home, network) as peer:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, peer.stop)
            if peer.sharing:
                await peer.sharing.agree()
            await announce(peer)
            tell.up({**peer.status(), "pid": os.getpid()})
            await peer.wait_ended()
    except NotListening as error:
        where = addresses.join(plan.host, plan.port)
        if "in use" not in str(error) or not str(error).startswith("address"):
            raise
        raise NotListening(
            f"address {where}: {taken_by(plan.port)}; choose another, or any free one "
            "with --listen :0"
        ) from error


def _check_shared(plan: Plan, ours: Membership) -> None:
    """A port that two networks share would ask now the one and now the other."""
    for each in list_running():
        if plan.shared_port == each.shared_port and each.network != ours.network:
            raise NotListening(
                f"shared port {plan.shared_port}: peers of another network are behind "
                f"it; join them with --join {each.address}, or choose another"
            )


async def _enter(home: Home, plan: Plan) -> Membership:
    """Be who we are, of the network that we are of or are to join."""
    if plan.fixed:
        node = plan.fixed.identity
        return enter(home, node.label, plan.fixed.group.secret, seed=node.seed)
    return enter(home, plan.name, plan.secret or await _invited(home, plan))


async def _invited(home: Home, plan: Plan) -> bytes | None:
    """The secret of the network to join, if it is not known here."""
    identity = home.identity(plan.name)
    if not plan.join or home.membership(identity):
        return None
    error: ShoalError | None = None
    for address in plan.join:
        try:
            return await _ask(address, identity, plan)
        except ShoalError as refusal:
            error = refusal
    assert error, "somebody was asked"
    raise error


async def _ask(address: Address, identity: Identity, plan: Plan) -> bytes:
    here = plan.advertise or addresses.join(plan.host, plan.port)
    hello = newcomer(here, identity.public, identity.peer)
    return (await ask_invitation(address, hello)).secret


async def _check_reachable(join: tuple[Address, ...]) -> None:
    """Say at once that nobody is there, rather than wait alone for ever."""
    causes = []
    for address in join:
        host, port = addresses.parse(address)
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            text = getattr(error, "strerror", None) or str(error) or "no answer"
            causes.append(f"{address}: {text.lower()}")
        else:
            writer.close()
            return
    if causes:
        raise Unreachable(
            f"cannot join {'; '.join(causes)}; check the address, and that a peer is "
            "up there"
        )


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One object a line."""
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to(plan: Plan, *, quiet: bool) -> None:
    """Log to a file in the data directory; to a person, only what needs them."""
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    form = _JsonLines() if plan.log == "json" else plain
    file = RotatingFileHandler(
        plan.directory / "peer.log", maxBytes=LOG_BYTES, backupCount=1
    )
    file.setFormatter(form)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(file)
    if not quiet:
        screen = logging.StreamHandler(sys.stderr)
        short = logging.Formatter("shoal: %(message)s")
        screen.setFormatter(form if plan.log == "json" else short)
        screen.setLevel(logging.INFO if plan.log == "json" else logging.WARNING)
        root.addHandler(screen)


def run_loop(main: Any) -> None:  # noqa: ANN401 - a coroutine.
    """Run it to its end, on the fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
