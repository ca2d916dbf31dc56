"""What every command understands."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter, validators

DEFAULT_TIMEOUT_S = 10.0

# A guess: eight times what fifty peers take to play forty seconds with loss.
DEFAULT_PLAY_S = 120.0

# A guess: a million small keys move in half of it.
DEFAULT_MOVING_S = 120.0

# A day. What waits longer waits for ever, and timers overflow some time later.
MAX_TIMEOUT_S = 86_400.0

PATIENCE = Parameter(
    name="--timeout", validator=validators.Number(gt=0, lte=MAX_TIMEOUT_S)
)


# A catalog has the next number too.
PortNumber = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65534))]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options of every command."""

    json: Annotated[bool, Parameter(name="--json")] = False
    """Print one JSON object or array; errors as JSON on standard error."""

    timeout: Annotated[float, PATIENCE] = DEFAULT_TIMEOUT_S
    """Wait so many seconds for a peer at most, then end with exit code 124."""


@Parameter(name="*")
@dataclass(frozen=True)
class PlayOptions(Options):
    """Options of a command that computes, and waits for no peer."""

    timeout: Annotated[float, PATIENCE] = DEFAULT_PLAY_S
    """Compute for so many seconds at most, then end with exit code 124."""


@Parameter(name="*")
@dataclass(frozen=True)
class PeerOptions(Options):
    """Options of a command that talks to a peer."""

    project: str = ""
    """Talk to the peer of this project that the catalogs in CATALOG_HOST list; no token
    is sent to it, unless it is yours and runs here."""


@Parameter(name="*")
@dataclass(frozen=True)
class WaitOptions(PeerOptions):
    """Options of a command that waits until copies have moved."""

    timeout: Annotated[float, PATIENCE] = DEFAULT_MOVING_S
    """Wait so many seconds for the network at most, then end with exit code 124."""


PLAIN = Options()
ANY = PeerOptions()
WAITING = WaitOptions()
PLAYING = PlayOptions()
