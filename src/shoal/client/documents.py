"""Documents in the table: what JSON can say, as compact text.

What is not JSON, since another dialect put it there, is a string, or
{"base64": ...} if it is not text either.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shoal.client.requests import Text
from shoal.errors import Misuse

if TYPE_CHECKING:
    from shoal.client.table import Table


def encoded(document: object) -> bytes:
    """A document as the table has it."""
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Misuse(
            f"document: {error}; put what JSON can say, or bytes without `.json`"
        ) from None
    return text.encode()


def decoded(value: bytes) -> Any:  # noqa: ANN401 - it is whatever JSON says.
    """The document in a value."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return shown(value)


def shown(data: bytes) -> str | dict[str, str]:
    """Bytes as JSON can say them."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


class Documents:
    """The table's values as documents; everything else is the table's."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def get(
        self,
        key: Text,
        default: Any = None,  # noqa: ANN401
        *,
        timeout_s: float | None = None,
    ) -> Any:  # noqa: ANN401
        """The document a key has, or the default."""
        value = self._table.get(key, timeout_s=timeout_s)
        return default if value is None else decoded(value)

    def put(
        self,
        key: Text,
        document: object,
        *,
        ttl_s: float | None = None,
        if_absent: bool = False,
        retry: bool = False,
        timeout_s: float | None = None,
    ) -> bool:
        """Let a key have a document, for so long; False if it was to have nothing."""
        return self._table.put(
            key,
            encoded(document),
            ttl_s=ttl_s,
            if_absent=if_absent,
            retry=retry,
            timeout_s=timeout_s,
        )

    def get_many(
        self, keys: Iterable[Text], *, timeout_s: float | None = None
    ) -> list[Any]:
        """The document each has, in their order; None for nothing."""
        values = self._table.get_many(keys, timeout_s=timeout_s)
        return [None if each is None else decoded(each) for each in values]

    def put_many(
        self, documents: Mapping[Any, object], *, timeout_s: float | None = None
    ) -> None:
        """Let each key have its document."""
        values = {key: encoded(each) for key, each in documents.items()}
        self._table.put_many(values, timeout_s=timeout_s)

    def __getitem__(self, key: Text) -> Any:  # noqa: ANN401
        return decoded(self._table[key])

    def __setitem__(self, key: Text, document: object) -> None:
        self._table.put(key, encoded(document))

    def __delitem__(self, key: Text) -> None:
        del self._table[key]

    def __contains__(self, key: Text) -> bool:
        return key in self._table

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __bool__(self) -> bool:
        return True
