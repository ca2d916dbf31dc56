"""Help says what a newcomer needs, and nothing that only the parser knows."""

import pytest

from shoal.__main__ import app, main

GROUPS = {"catalog": ("serve", "query")}
COMMANDS = sorted(
    name for name in app if not name.startswith("-") and name not in GROUPS
) + [f"{group} {name}" for group, names in GROUPS.items() for name in names]
NOISE = ("--empty", "--no-", "default: ()", "False", "None", 'default: ""')


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_without_noise(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"shoal {command}" in said
    assert "--timeout" in said
    assert [noise for noise in NOISE if noise in said] == []
    assert ("default: 0" in said) == (command == "sim")  # A seed of nought is one.
