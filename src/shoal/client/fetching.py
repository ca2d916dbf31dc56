"""A dataset's rows from the network: into an array, or into a file that can go on.

What was fetched of a file before is not fetched again, unless the dataset has changed.
"""

import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shoal.client.pages import Pages
from shoal.core.address import parse
from shoal.errors import Misuse, NoSpace, Unreachable

if TYPE_CHECKING:
    import numpy as np

PIECE_BYTES = 1 << 20

# So often it is gone on after a connection broke, if each time something came.
TRIES = 5

# Told how many bytes there are, of how many.
Watch = Callable[[int, int], None]


def array(pages: Pages, name: str) -> "np.ndarray[Any, Any]":
    """All rows, here."""
    import numpy as np
    from numpy.lib import format as npy

    with _asked(pages, name, 0, "") as response:
        head = io.BytesIO(response.read(10))
        length = int.from_bytes(head.getvalue()[8:10], "little")
        head.seek(0, io.SEEK_END)
        head.write(response.read(length))
        head.seek(0)
        npy.read_magic(head)
        shape, _, dtype = npy.read_array_header_1_0(head)
        rows = np.empty(shape, dtype)
        left = memoryview(rows.reshape(-1).view(np.uint8).data)
        while left:
            count = response.readinto(left)
            if not count:
                raise _broken(pages, name, "the connection broke")
            left = left[count:]
    return rows


def fetch(pages: Pages, name: str, to: Path, watch: Watch = lambda *_: None) -> int:
    """Into a file, going on where an earlier attempt ended; its size."""
    part, mark = Path(f"{to}.part"), Path(f"{to}.part.json")
    for attempt in range(TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            size = _go_on(pages, name, part, mark, watch)
            break
        except Unreachable:
            gained = part.exists() and part.stat().st_size > before
            if attempt == TRIES - 1 or not gained:
                raise
    part.replace(to)
    mark.unlink(missing_ok=True)
    return size


def _go_on(pages: Pages, name: str, part: Path, mark: Path, watch: Watch) -> int:
    have, etag = _left_over(part, mark)
    with _asked(pages, name, have, etag) as response:
        if response.status == 416:  # Nothing is missing, if it is the same.
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return have
            mark.unlink()
            raise _broken(pages, name, "it has changed since it was begun")
        if response.status != 206:
            have = 0
        etag = response.headers.get("ETag", "")
        size = have + int(response.headers["Content-Length"])
        try:
            if not have:  # Or old bytes would stand under the new mark.
                part.unlink(missing_ok=True)
            mark.write_text(json.dumps({"etag": etag}))
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                while piece := response.read(PIECE_BYTES):
                    file.write(piece)
                    have += len(piece)
                    watch(have, size)
                file.flush()
                os.fsync(file.fileno())
        except HTTPException as error:
            raise _broken(pages, name, str(error)) from error
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise _broken(pages, name, str(error)) from error
            raise _unwritable(part, error) from error
    if have < size:
        raise _broken(pages, name, f"{have} of {size} bytes came")
    return size


def _left_over(part: Path, mark: Path) -> tuple[int, str]:
    try:
        return part.stat().st_size, str(json.loads(mark.read_text())["etag"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


@contextmanager
def _asked(pages: Pages, name: str, start: int, etag: str) -> Iterator[HTTPResponse]:
    host, port = parse(pages.address)
    connection = HTTPConnection(host, port, timeout=pages.timeout_s)
    headers = {"Authorization": f"Bearer {pages.token}"} if pages.token else {}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    try:
        connection.request("GET", f"/datasets/{quote(name, safe='')}", headers=headers)
        response = connection.getresponse()
        if response.status >= 400 and response.status != 416:
            pages.understand(response.status, response.read())
        yield response
    except (HTTPException, ConnectionError, TimeoutError) as error:
        raise _broken(pages, name, str(error)) from error
    except OSError as error:
        if error.errno is None or isinstance(error, FileNotFoundError):
            raise
        raise _broken(pages, name, str(error)) from error
    finally:
        connection.close()


def _unwritable(file: Path, error: OSError) -> NoSpace | Misuse:
    why = f"file {file}: {(error.strerror or str(error)).lower()}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{why}; make room for it, and it goes on there")
    return Misuse(f"{why}; choose another file")


def _broken(pages: Pages, name: str, why: str) -> Unreachable:
    return Unreachable(
        f"dataset {name}: {why}, at {pages.address}; ask again, and it goes on there"
    )
