"""The shelf on its way to the disk: one thread writes it, so no two do at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from shoal.flow.datasets.shelf import Shelf


class Keeping:
    """Writes a shelf whenever it is asked to."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._thread = ThreadPoolExecutor(1, "shelf")

    async def keep(self) -> None:
        """What the shelf holds now survives a crash from then on."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._shelf.write)

    def stop(self) -> None:
        """Write no more."""
        self._thread.shutdown(wait=False)
