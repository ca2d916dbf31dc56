"""Start peers in processes of their own, and wait until they are up."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from select import select
from socket import socket, socketpair
from typing import Any

from shoal.cli.footprint import Footprint
from shoal.cli.options import Options
from shoal.cli.plan import Plan
from shoal.cli.run import print_up, where
from shoal.core.hello import SECRET_BYTES
from shoal.errors import (
    DirectoryDamaged,
    DirectoryHeld,
    Misuse,
    ShoalError,
    Unanswered,
    named,
)
from shoal.net.home import Home, enter, read_token, running
from shoal.settings import GRACE_S

# Goodbyes take a tenth of a second; the rest is for a busy machine.
STOP_S = 10


@dataclass
class Child:
    """A peer in a process of its own."""

    process: subprocess.Popen[bytes]
    news: int
    plan: Plan
    footprint: Footprint

    def wait_up(self, until: float) -> dict[str, Any]:
        """What it says when it is up; its error if it is not."""
        text = b""
        while not text.endswith(b"\n"):
            left_s = max(0.0, until - time.monotonic())
            if not select([self.news], [], [], left_s)[0]:
                raise Unanswered(
                    f"peer in {self.plan.directory}: not up in time; see peer.log there"
                )
            data = os.read(self.news, 4096)
            if not data:
                raise Misuse(
                    f"peer in {self.plan.directory}: ended before it was up; "
                    "see peer.log there"
                )
            text += data
        os.close(self.news)
        told: dict[str, Any] = json.loads(text)
        if "kind" in told:
            self._clear()
            raise named(told["kind"], told["message"])
        return told

    def _clear(self) -> None:
        """Take back what was made for a peer that could not start."""
        self.process.wait(timeout=STOP_S)
        with suppress(ShoalError):  # Somebody else runs there: it is theirs.
            home = Home(self.plan.directory)
            self.footprint.erase()
            home.close()


_AWAITED = frozenset([signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD])


def run_many(plan: Plan, peers: int, *, detach: bool, options: Options) -> int:
    """Start peers; stay with them unless detached. The exit code."""
    if peers < 1:
        raise Misuse(f"peers {peers}: at least one; see: shoal up --help")
    plans, there = [plan], list[dict[str, Any]]()
    if peers > 1:
        plans = of_one_network([plan.number(n) for n in range(1, peers + 1)])
        plans, there = _missing(plans)
    until = time.monotonic() + max(options.timeout, float(peers))
    children: list[Child] = []
    try:
        told = start(plans, children, until, [each["address"] for each in there])
    except BaseException:
        stop(children)
        raise
    woken = None if detach else _listen()  # Who is told how to stop us may at once.
    if options.json:
        print(json.dumps([*there, *told]), flush=True)
    else:
        _print_all(told, there, stays=not detach)
    return _stay(children, woken) if woken else 0


def _missing(plans: list[Plan]) -> tuple[list[Plan], list[dict[str, Any]]]:
    """Those yet to be started, and what is known of those that run."""
    missing, there = [], []
    for plan in plans:
        who = running(plan.directory)
        if who is None:
            missing.append(plan)
        elif "name" in who:  # Else it is just starting, and will find its network.
            there.append({**who, "directory": str(plan.directory)})
    if not missing:
        raise DirectoryHeld(
            f"data directory {plans[0].directory.parent}: all {len(plans)} peers of it "
            "run already; see: shoal members, or choose another with --dir"
        )
    return missing, there


def start(
    plans: list[Plan],
    children: list[Child],
    until: float,
    there: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Start all at once, to join those who are there; if none is, the first first."""
    told: list[dict[str, Any]] = []
    known = list(there)
    if not known:
        children.append(spawn(plans[0]))
        told.append(children[0].wait_up(until))
        known.append(told[0]["address"])
    first = len(children)
    rest = plans[len(told) :]
    children.extend(spawn(each, [*each.join, *known]) for each in rest)
    return [*told, *(child.wait_up(until) for child in children[first:])]


def spawn(plan: Plan, join: list[str] | None = None) -> Child:
    """Start one peer in a session of its own, so that no terminal ends it."""
    footprint = Footprint(plan.directory)
    news, fd = os.pipe()
    command = [*_command(plan, join), "--ready-fd", str(fd)]
    try:
        plan.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _enter(plan)
        with (plan.directory / "peer.err").open("wb") as crash:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=crash,
                stderr=crash,
                pass_fds=[fd],
                start_new_session=True,
            )
    except OSError as error:
        os.close(fd)
        os.close(news)
        raise DirectoryDamaged(
            f"data directory {plan.directory}: {(error.strerror or '').lower()}; "
            "choose another with --dir"
        ) from error
    os.close(fd)
    return Child(process, news, plan, footprint)


def _command(plan: Plan, join: list[str] | None) -> list[str]:
    command = [
        *(sys.executable, "-m", "shoal", "up"),
        *("--listen", f"[{plan.host}]:{plan.port}", "--dir", str(plan.directory)),
        *("--profile", plan.profile, "--log", plan.log),
    ]
    for option, value in (
        ("--advertise", plan.advertise),
        ("--name", plan.name),
        ("--zone", plan.zone),
        ("--storage", plan.storage),
        ("--durability", plan.durability),
        ("--catalog", ",".join(plan.catalogs)),
        ("--project", plan.project),
    ):
        command += [option, value] if value else []
    for address in plan.join if join is None else join:
        command += ["--join", address]
    if fixed := plan.fixed:
        command += ["--static", str(fixed.path), "--id", str(fixed.node)]
    for path in plan.data:
        command += ["--data", str(path)]
    for option, count in (
        ("--workers", plan.workers),
        ("--worker-memory-mb", plan.worker_memory_mb),
        ("--catalog-port", plan.catalog_port),
        ("--shared-port", plan.shared_port),
    ):
        command += [option, str(count)] if count is not None else []
    return command + _place(plan)


def _place(plan: Plan) -> list[str]:
    """What is said of its place in the network."""
    command = [] if plan.grace_s == GRACE_S else ["--grace", str(plan.grace_s)]
    command += ["--replicas", str(plan.replicas)] if plan.replicas else []
    flags = {
        "--insecure": plan.insecure,
        "--public": plan.public,
        "--guest": plan.guest,
        "--lan": plan.lan,
    }
    return command + [flag for flag, meant in flags.items() if meant]


def _enter(plan: Plan) -> None:
    """Put the token where the peer will find it: never on a command line."""
    if plan.secret:
        home = Home(plan.directory)
        try:
            enter(home, plan.name, plan.secret)
        finally:
            home.close()


def of_one_network(plans: list[Plan]) -> list[Plan]:
    """Let all have the network given, or that one of them was of, or a new one.

    Of which one they are that look on the local network, the first finds out.
    """
    tokens = (read_token(each.directory / "token") for each in plans)
    secret = plans[0].secret or next(filter(None, tokens), None)
    if secret is None and not plans[0].join and not plans[0].lan:
        secret = secrets.token_bytes(SECRET_BYTES)
    return [replace(each, secret=secret) for each in plans]


def _print_all(
    told: list[dict[str, Any]], there: list[dict[str, Any]], *, stays: bool
) -> None:
    for each in there:
        print(f"peer {each['name']} runs already, at {each['address']}")
    if len(told) == 1:
        print_up(told[0], stays=stays)
        return
    for each in told:
        print(where(each))
    print(
        f"  network {told[0]['network']}, profile {told[0]['profile']}, "
        f"state in {Path(told[0]['directory']).parent}\n"
        f"  join it:  shoal join {told[0]['address']}\n"
        f"  stop it:  {'Ctrl-C, or: ' if stays else ''}shoal down",
        flush=True,
    )


def _listen() -> socket:
    """Where signals are told from now on, whichever thread of ours they meet."""
    woken, wakes = socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.detach())
    for number in _AWAITED:
        signal.signal(number, lambda *_: None)
    return woken


def _stay(children: list[Child], woken: socket) -> int:
    """Stay until Ctrl-C, then stop them all."""
    while any(child.process.poll() is None for child in children):
        if set(woken.recv(64)) != {signal.SIGCHLD}:
            break
    return stop(children)


def stop(children: list[Child]) -> int:
    """Let them end; the exit code."""
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    codes = [child.process.wait(timeout=STOP_S) for child in children]
    return 1 if any(codes) else 0
