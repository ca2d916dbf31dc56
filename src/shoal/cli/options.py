"""What every command understands."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter, validators

DEFAULT_TIMEOUT_S = 10.0


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options of every command."""

    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    """Print one JSON object or array; errors as JSON on standard error."""

    timeout: Annotated[
        float, Parameter(name="--timeout", validator=validators.Number(gt=0))
    ] = DEFAULT_TIMEOUT_S
    """Wait so many seconds for a peer, then end with exit code 124."""


PLAIN = Options()
