"""What a start leaves in a data directory, so that one that fails can take it back."""

from contextlib import suppress
from pathlib import Path


class Footprint:
    """Made before a start: what was there then is never touched."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = set(directory.iterdir()) if directory.is_dir() else set()
        self._missing = [
            each for each in (directory, *directory.parents) if not each.exists()
        ]

    def erase(self) -> None:
        """Remove what came since. To be called by who holds the directory's lock.

        Where a peer has lived, others know its name: it is kept.
        """
        if (self._directory / "generation").exists():
            return
        with suppress(OSError):  # What somebody else put there stays, and all around.
            for each in set(self._directory.iterdir()) - self._before:
                each.unlink()
            for each in self._missing:
                each.rmdir()
