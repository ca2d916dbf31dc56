"""shoal completion."""

from typing import Literal

from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import show


def completion(
    shell: Literal["bash", "zsh", "fish"] = "bash", /, *, options: Options = PLAIN
) -> None:
    """Print what makes a shell complete our commands: source <(shoal completion).

    Parameters
    ----------
    shell
        The shell to complete in; there: source <(shoal completion SHELL).
    """
    from shoal.__main__ import app

    script = app.generate_completion(shell=shell)
    told = {"shell": shell, "script": script}
    show(told, as_json=options.json, people=lambda _: print(script))
