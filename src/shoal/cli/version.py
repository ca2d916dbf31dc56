"""shoal version."""

from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import show
from shoal.version import DISK_FORMAT, PROTOCOL, VERSION


def version(*, options: Options = PLAIN) -> None:
    """Which version this is, and what it speaks and writes."""
    told = {"version": VERSION, "protocol": PROTOCOL, "disk_format": DISK_FORMAT}
    show(
        told,
        as_json=options.json,
        people=lambda _: print(
            f"shoal {VERSION} (protocol {PROTOCOL}, disk format {DISK_FORMAT})"
        ),
    )
