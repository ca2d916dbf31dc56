"""The prompt: by a pipe, and at a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from shoal.net.home import running
from tests.end_to_end.cluster import START_S, Cluster, Node, wait_until
from tests.end_to_end.test_life import is_free

# What is bounded to two seconds is given ten times as long: the machine may be busy.
END_S = 20.0


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


def script(
    user: Cluster, *lines: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """A shell that is told these lines, and then the end of input."""
    return subprocess.run(
        [sys.executable, "-m", "shoal", "shell", *options],
        env=user.environment,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, user: Cluster, *options: str) -> None:
        self.fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shoal", "shell", *options],
            env={**user.environment, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, text: str) -> str:
        """What it shows up to there."""
        shown, end = "", time.monotonic() + END_S
        while text not in shown:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} is not in {shown!r}"
            if self._says_more(left):
                shown += os.read(self.fd, 4096).decode()
        return shown

    def interrupt(self) -> None:
        """Press Ctrl-C; once more if it came while a letter was shown, as people do."""
        for _ in range(int(END_S)):
            os.kill(self.process.pid, signal.SIGINT)
            if self._says_more(1):
                return

    def _says_more(self, within_s: float) -> bool:
        return bool(select.select([self.fd], [], [], within_s)[0])

    def code(self) -> int:
        return self.process.wait(END_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


@pytest.fixture
def terminal(sharer: Cluster, node: Node) -> Iterator[Terminal]:
    opened = Terminal(sharer)
    yield opened
    opened.close()


def test_0_7_a_missing_key_is_none_at_the_prompt(terminal: Terminal) -> None:
    terminal.until("$> ")
    terminal.type("get nothing-there\n")
    assert "RET> None" in terminal.until("$> ")


def test_0_9_put_get_and_del_at_the_prompt(sharer: Cluster, node: Node) -> None:
    done = script(sharer, "put abc def", "get abc", "del abc", "get abc", "del abc")
    told = ["True", "def", "True", "None", "False"]
    assert done.stdout.splitlines() == [f"RET> {each}" for each in told]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_value_too_long_for_a_frame_is_one_line(sharer: Cluster, node: Node) -> None:
    done = script(sharer, f"put k {'v' * 17_000_000}", "put k v")
    assert done.stdout == "RET> True\n"
    assert done.stderr.count("\n") == 1
    assert "value of 17000000 bytes: the longest have" in done.stderr


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("two  words", "two  words"),
        ("Äpfel", "Äpfel"),
        ("SUCCESS", "SUCCESS"),
        ("NONE", "NONE"),
        ("ERROR no", "ERROR no"),
        ("None", '"None"'),
        (r'"a\nb\x00\"c\\"', r'"a\nb\x00\"c\\"'),
        ('" blank "', '" blank "'),
        ('"plain"', "plain"),
    ],
)
def test_0_14_what_is_typed_comes_back_and_can_be_typed_again(
    sharer: Cluster, node: Node, typed: str, shown: str
) -> None:
    once = script(sharer, f"put typed {typed}", "get typed")
    again = script(sharer, f"put typed {shown}", "get typed")
    for each in (once, again):
        assert each.stdout.splitlines() == ["RET> True", f"RET> {shown}"], each.stderr


def test_0_12_exit_ends_the_prompt_and_the_peer_of_its_own(user: Cluster) -> None:
    """Server, handlers and client; the port is free, and the code is 0."""
    where = ("--dir", str(user.root / "own"))
    opened = Terminal(user, "--up", *where)
    try:
        opened.until("$> ")
        told = running(user.root / "own")
        assert told
        own = Node("", told["address"], "", told["pid"], user.root / "own")
        opened.type("put a b\n")
        opened.until("RET> True")
        opened.type("exit\n")
        assert opened.code() == 0
    finally:
        opened.close()
    wait_until(lambda: not own.runs, END_S, "the peer to end")
    assert is_free(own)
    assert running(own.directory) is None


def test_0_22_a_benchmark_counts_and_checks(sharer: Cluster, node: Node) -> None:
    done = script(
        sharer,
        "benchmark put 100000 1000",
        "benchmark get 100000 1000",
        "put 100500 another",
        "benchmark get 100000 1000",
        "benchmark del 100000 1000",
        "benchmark get 100000 1000",
        "benchmark del 100000 1000",
    )
    lines = [line for line in done.stdout.splitlines() if "RET" not in line]
    counts = [int(line.split()[0]) for line in lines[::2]]
    assert counts == [1000, 1000, 999, 1000, 0, 0]
    actions = ["put", "get", "get", "del", "get", "del"]
    for action, line in zip(actions, lines[1::2], strict=True):
        said = rf"1000 {action} operations completed in \d+\.\d\d\d seconds\."
        assert re.fullmatch(said, line)


@pytest.mark.parametrize("options", [(), ("--up",)], ids=["client", "own peer"])
def test_0_25_the_end_of_input_ends_it(
    sharer: Cluster, node: Node, options: tuple[str, ...]
) -> None:
    done = script(sharer, "put last line", options=options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "RET> True\n", "")


def test_0_25_the_end_of_input_ends_it_at_a_terminal(terminal: Terminal) -> None:
    terminal.until("$> ")
    terminal.type("\x04")
    assert terminal.code() == 0


def test_exit_is_the_end(sharer: Cluster, node: Node) -> None:
    done = script(sharer, "exit", "put after all")
    assert (done.returncode, done.stdout) == (0, "")


def test_ctrl_c_clears_the_line_and_nothing_else(terminal: Terminal) -> None:
    terminal.until("$> ")
    terminal.type("put not thi")
    terminal.until("not thi")
    terminal.interrupt()
    terminal.until("$> ")
    terminal.type("put c d\n")
    terminal.until("RET> True")
    terminal.type("exit\n")
    assert terminal.code() == 0


def test_lines_are_remembered_and_words_completed(sharer: Cluster, node: Node) -> None:
    opened = Terminal(sharer)
    try:
        opened.until("$> ")
        opened.type("put remembered yes\n")
        opened.until("RET> True")
        opened.type("ge\tremem\t\n")
        opened.until("RET> yes")
        opened.type("exit\n")
        assert opened.code() == 0
    finally:
        opened.close()
    again = Terminal(sharer)
    try:
        again.until("$> ")
        again.type("\x10\x10\n")  # Ctrl-P twice: the line before `exit`.
        again.until("RET> yes")
    finally:
        again.close()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sing", "there are put, get, del, keys, benchmark, help, exit"),
        ("put", "put KEY VALUE"),
        ("put k", "put KEY VALUE"),
        ("get", "get KEY"),
        ("get a b", "get KEY"),
        ("del", "del KEY"),
        ("keys all", "it is used as keys"),
        ("benchmark", "benchmark put|get|del FIRST COUNT"),
        ("benchmark put x y", "benchmark put|get|del FIRST COUNT"),
        ("benchmark sing 1 1", "benchmark put|get|del FIRST COUNT"),
        ('put k "open', "marks do not match"),
        ('put "a key" v', "shoal put"),
    ],
)
def test_what_makes_no_sense_is_told_and_survived(
    sharer: Cluster, node: Node, line: str, says: str
) -> None:
    done = script(sharer, line, "", "put a b")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (0, "RET> True\n")


def test_a_peer_that_goes_does_not_end_the_prompt(user: Cluster) -> None:
    [node] = user.up()
    opened = Terminal(user)
    try:
        opened.until("$> ")
        opened.type("put a b\n")
        opened.until("RET> True")
        user.ask("down")
        opened.type("get a\n")
        opened.until("the connection broke")
        opened.type("get a\n")
        opened.until("connection refused")
        user.restart(node)
        opened.type("get a\n")
        opened.until("RET> b")
    finally:
        opened.close()


def test_json_for_programs(sharer: Cluster, node: Node) -> None:
    done = script(sharer, "put a b", "get a", "get nothing", options=("--json",))
    told = ['{"ret": true}', '{"ret": "b"}', '{"ret": null}']
    assert done.stdout.splitlines() == told
