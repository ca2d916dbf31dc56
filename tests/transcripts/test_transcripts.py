"""Conversations written as text: commands, a line of dashes, what they print.

`REWRITE=1 pytest tests/transcripts` records the present behaviour; the diff is then
read in review, which is the point.
"""

import os
import re
from pathlib import Path

import pytest

from shoal.cli.rehearsal import Rehearsal

HERE = Path(__file__).parent
STEP = re.compile(
    r"(?P<comment>(?:#.*\n|\n)*)(?P<command>.+)\n----\n(?P<output>(?:.+\n)*)"
)


class Reader:
    """Plays the commands of a transcript, and three that only look."""

    def __init__(self) -> None:
        self.stage = Rehearsal(0)
        self._told = 0

    def play(self, command: str) -> str:
        looks = {"views": self.views, "facts": self.facts, "messages": self.messages}
        if command in looks:
            return "".join(f"{line}\n" for line in looks[command]())
        self.stage.play(command)
        return ""

    def views(self) -> list[str]:
        return [f"{me}: {' '.join(view)}" for me, view in self.stage.views().items()]

    def facts(self) -> list[str]:
        """What has become true since the last look."""
        fresh = self.stage.network.facts[self._told :]
        self._told += len(fresh)
        return [f"{at:7.3f} {peer} {_short(fact)}" for at, peer, fact in fresh]

    def messages(self) -> list[str]:
        """What was sent since the last look, without the news it carried."""
        trace = self.stage.network.trace
        assert trace is not None
        lines = [_short(line) for line in trace if "Emit" not in line]
        trace.clear()
        return lines


def _short(thing: object) -> str:
    """Without what makes a line long and changes with every seed."""
    text = re.sub(r"nonce=\d+, ", "", str(thing))
    text = re.sub(r", news=\(.*?\)\)\)", ")", text)
    text = re.sub(r"Profile\(peer='(\w+)'.*?dialable=True, since=0\)", r"\1", text)
    text = re.sub(r"Incarnation\(generation=(\d+), refutation=(\d+)\)", r"\1.\2", text)
    text = re.sub(r"<(\w+)\.(\w+): \d+>", r"\2", text)
    return re.sub(r"sums=\([\d, ]+\)", "sums", text)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    reader, written = Reader(), path.read_text()
    played = STEP.sub(
        lambda step: (
            f"{step['comment']}{step['command']}\n----\n{reader.play(step['command'])}"
        ),
        written,
    )
    if os.environ.get("REWRITE"):
        path.write_text(played)
    else:
        assert played == written
