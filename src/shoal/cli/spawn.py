"""Start peers in processes of their own, and wait until they are up."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from select import select
from typing import Any

from shoal.cli.footprint import Footprint
from shoal.cli.options import Options
from shoal.cli.plan import Plan
from shoal.cli.run import print_up
from shoal.core.hello import SECRET_BYTES
from shoal.errors import DirectoryDamaged, Misuse, ShoalError, Unanswered, named
from shoal.net.home import Home, enter, read_token

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


def run_many(plan: Plan, peers: int, *, detach: bool, options: Options) -> int:
    """Start peers; stay with them unless detached. The exit code."""
    if peers < 1:
        raise Misuse(f"peers {peers}: at least one; see: shoal up --help")
    plans = [plan.number(n) for n in range(1, peers + 1)] if peers > 1 else [plan]
    if peers > 1:
        plans = of_one_network(plans)
    until = time.monotonic() + max(options.timeout, float(peers))
    children: list[Child] = []
    try:
        told = start(plans, children, until)
    except BaseException:
        stop(children)
        raise
    if options.json:
        print(json.dumps(told), flush=True)
    else:
        _print_all(told, stays=not detach)
    return 0 if detach else _stay(children)


def start(
    plans: list[Plan], children: list[Child], until: float
) -> list[dict[str, Any]]:
    """Start the first, and when its address is known the others, to join it."""
    first, *others = plans
    children.append(spawn(first))
    told = [children[0].wait_up(until)]
    join = [*first.join, told[0]["address"]] if others else []
    children += [spawn(each, join) for each in others]
    return [*told, *(child.wait_up(until) for child in children[1:])]


def spawn(plan: Plan, join: list[str] | None = None) -> Child:
    """Start one peer in a session of its own, so that no terminal ends it."""
    footprint = Footprint(plan.directory)
    news, fd = os.pipe()
    command = [
        *(sys.executable, "-m", "shoal", "up"),
        *("--listen", f"[{plan.host}]:{plan.port}", "--dir", str(plan.directory)),
        *("--profile", plan.profile, "--log", plan.log, "--ready-fd", str(fd)),
    ]
    for option, value in (
        ("--advertise", plan.advertise),
        ("--name", plan.name),
        ("--zone", plan.zone),
    ):
        command += [option, value] if value else []
    for address in plan.join if join is None else join:
        command += ["--join", address]
    command += ["--insecure"] if plan.insecure else []
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


def _enter(plan: Plan) -> None:
    """Put the token where the peer will find it: never on a command line."""
    if plan.secret:
        home = Home(plan.directory)
        try:
            enter(home, plan.name, plan.secret)
        finally:
            home.close()


def of_one_network(plans: list[Plan]) -> list[Plan]:
    """Let all have the network given, or that the first was of, or a new one."""
    secret = plans[0].secret or read_token(plans[0].directory / "token")
    if secret is None and not plans[0].join:
        secret = secrets.token_bytes(SECRET_BYTES)
    return [replace(each, secret=secret) for each in plans]


def _print_all(told: list[dict[str, Any]], *, stays: bool) -> None:
    if len(told) == 1:
        print_up(told[0], stays=stays)
        return
    for each in told:
        print(f"peer {each['name']} is up at {each['address']}")
    print(
        f"  network {told[0]['network']}, profile {told[0]['profile']}, "
        f"data in {Path(told[0]['directory']).parent}\n"
        f"  join it:  shoal join {told[0]['address']}\n"
        f"  stop it:  {'Ctrl-C, or: ' if stays else ''}shoal down",
        flush=True,
    )


def _stay(children: list[Child]) -> int:
    """Stay until Ctrl-C, then stop them all."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while any(child.process.poll() is None for child in children):
        if signal.sigwait(signals) != signal.SIGCHLD:
            break
    return stop(children)


def stop(children: list[Child]) -> int:
    """Let them end; the exit code."""
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    codes = [child.process.wait(timeout=STOP_S) for child in children]
    return 1 if any(codes) else 0
