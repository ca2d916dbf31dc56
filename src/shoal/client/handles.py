"""What is to be computed, in Python: `net["a"] + 1` is an expression, and runs later.

NumPy's own functions take handles too: `np.sqrt(net["a"])` is one more expression.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shoal.errors import Misuse

if TYPE_CHECKING:
    import numpy as np

    from shoal.client.jobs import Flow, Job

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORDS = frozenset(["nan", "inf", "True", "False", "and", "or", "not", "ds", "tag"])


Number = int | float | bool

_SIGNS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "true_divide": "/",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "mod": "%",
    "power": "**",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
}


# Of NumPy's functions that are no ufuncs: what is asked of a handle, and what by name
# with so many arguments.
_METHODS = frozenset(["sum", "mean", "min", "max", "var", "std"])
_CALLS = {"where": 3, "clip": 3, "real": 1, "imag": 1, "round": 1}


class Handle:
    """An expression of datasets and numbers. Nothing runs before it is asked for."""

    __hash__ = None  # type: ignore[assignment]  # Equality is an expression too.

    def __init__(self, flow: "Flow", text: str) -> None:
        self._flow = flow
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"

    # Running it

    def run(self, *tags: str) -> "Job":
        """Begin to compute it; returns at once."""
        return self._flow.run(self, tags=tags)

    def result(self, timeout_s: float | None = None) -> "Handle":
        """Compute it, and wait for it."""
        return self.run().result(timeout_s)

    def __array__(
        self, dtype: "np.dtype[Any] | None" = None, copy: bool | None = None
    ) -> "np.ndarray[Any, Any]":
        import numpy as np

        return np.asarray(self.result(), dtype)

    def __format__(self, spec: str) -> str:
        """As a number, if it is to look like one: f"{net['a'].mean():.2f}"."""
        return format(self.number(), spec) if spec else repr(self)

    def __float__(self) -> float:
        return float(self.number())

    def __int__(self) -> int:
        return int(self.number())

    def number(self) -> Number:
        """The number it is."""
        return self.result().number()

    # Writing it

    def __array_ufunc__(
        self, function: "np.ufunc", method: str, *inputs: object, **options: object
    ) -> "Handle":
        if method != "__call__" or options:
            raise Misuse(
                f"{function.__name__}.{method}: of NumPy's functions only plain calls "
                "travel; compute it from numpy.asarray(...)"
            )
        sign = _SIGNS.get(function.__name__)
        if sign and len(inputs) == 2:
            return self._joined(inputs[0], sign, inputs[1])
        return self._flow.call(function.__name__, *inputs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        given: Sequence[object],
        options: Mapping[str, object],
    ) -> object:
        """NumPy's other functions: what we have travels; for the rest, rows come."""
        name = function.__name__
        if not options and name in _METHODS and len(given) == 1:
            return getattr(self, name)()
        if not options and _CALLS.get(name) == len(given):
            return self._flow.call(name, *given)
        arrays = [_here(each) for each in given]
        return function(*arrays, **{key: _here(each) for key, each in options.items()})

    def _joined(self, left: object, sign: str, right: object) -> "Handle":
        text = f"({written(left)} {sign} {written(right)})"
        return Handle(self._flow, text)

    def __add__(self, other: object) -> "Handle":
        return self._joined(self, "+", other)

    def __radd__(self, other: object) -> "Handle":
        return self._joined(other, "+", self)

    def __sub__(self, other: object) -> "Handle":
        return self._joined(self, "-", other)

    def __rsub__(self, other: object) -> "Handle":
        return self._joined(other, "-", self)

    def __mul__(self, other: object) -> "Handle":
        return self._joined(self, "*", other)

    def __rmul__(self, other: object) -> "Handle":
        return self._joined(other, "*", self)

    def __truediv__(self, other: object) -> "Handle":
        return self._joined(self, "/", other)

    def __rtruediv__(self, other: object) -> "Handle":
        return self._joined(other, "/", self)

    def __floordiv__(self, other: object) -> "Handle":
        return self._joined(self, "//", other)

    def __rfloordiv__(self, other: object) -> "Handle":
        return self._joined(other, "//", self)

    def __mod__(self, other: object) -> "Handle":
        return self._joined(self, "%", other)

    def __rmod__(self, other: object) -> "Handle":
        return self._joined(other, "%", self)

    def __pow__(self, other: object) -> "Handle":
        return self._joined(self, "**", other)

    def __rpow__(self, other: object) -> "Handle":
        return self._joined(other, "**", self)

    def __and__(self, other: object) -> "Handle":
        return self._joined(self, "&", other)

    def __rand__(self, other: object) -> "Handle":
        return self._joined(other, "&", self)

    def __or__(self, other: object) -> "Handle":
        return self._joined(self, "|", other)

    def __ror__(self, other: object) -> "Handle":
        return self._joined(other, "|", self)

    def __xor__(self, other: object) -> "Handle":
        return self._joined(self, "^", other)

    def __rxor__(self, other: object) -> "Handle":
        return self._joined(other, "^", self)

    def __lt__(self, other: object) -> "Handle":
        return self._joined(self, "<", other)

    def __le__(self, other: object) -> "Handle":
        return self._joined(self, "<=", other)

    def __gt__(self, other: object) -> "Handle":
        return self._joined(self, ">", other)

    def __ge__(self, other: object) -> "Handle":
        return self._joined(self, ">=", other)

    def __eq__(self, other: object) -> "Handle":  # type: ignore[override]
        return self._joined(self, "==", other)

    def __ne__(self, other: object) -> "Handle":  # type: ignore[override]
        return self._joined(self, "!=", other)

    def __neg__(self) -> "Handle":
        return Handle(self._flow, f"(-{self.text})")

    def __invert__(self) -> "Handle":
        return Handle(self._flow, f"(~{self.text})")

    def __abs__(self) -> "Handle":
        return self._flow.call("abs", self)

    def __bool__(self) -> bool:
        raise Misuse(
            f"{self.text}: it has not been computed, so it is neither true nor false; "
            "ask for a number first: float(...)"
        )

    def sum(self) -> "Handle":
        """The sum of all its elements."""
        return self._flow.call("sum", self)

    def mean(self) -> "Handle":
        """Their mean."""
        return self._flow.call("mean", self)

    def min(self) -> "Handle":
        """The least of them."""
        return self._flow.call("min", self)

    def max(self) -> "Handle":
        """The greatest of them."""
        return self._flow.call("max", self)

    def var(self) -> "Handle":
        """Their variance: how far from the mean they are, squared, in the mean."""
        return (abs(self - self.mean()) ** 2).mean()

    def std(self) -> "Handle":
        """Their standard deviation."""
        return self._flow.call("sqrt", self.var())


class NumberHandle(Handle):
    """A number that has been computed."""

    def __init__(self, flow: "Flow", text: str, value: Number) -> None:
        super().__init__(flow, text)
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)

    def result(self, timeout_s: float | None = None) -> Handle:
        """It is there."""
        return self

    def number(self) -> Number:
        """The number it is."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __array__(
        self, dtype: "np.dtype[Any] | None" = None, copy: bool | None = None
    ) -> "np.ndarray[Any, Any]":
        import numpy as np

        return np.asarray(self._value, dtype)


class DatasetHandle(Handle):
    """Rows that lie somewhere in the network."""

    def __init__(self, flow: "Flow", name: str) -> None:
        super().__init__(flow, named(name))
        self.name = name

    def described(self) -> dict[str, Any]:
        """Its type, its shape, its parts, and who holds them."""
        return self._flow.dataset(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many rows, and what each is like."""
        told = self.described()
        return (int(told["rows"]), *told["form"]["trailing"])

    @property
    def dtype(self) -> "np.dtype[Any]":
        """What its elements are."""
        import numpy as np

        kind: np.dtype[Any] = np.dtype(self.described()["form"]["kind"])
        return kind

    def __len__(self) -> int:
        return self.shape[0]

    def result(self, timeout_s: float | None = None) -> Handle:
        """It is there."""
        return self

    def __array__(
        self, dtype: "np.dtype[Any] | None" = None, copy: bool | None = None
    ) -> "np.ndarray[Any, Any]":
        array = self._flow.array(self.name)
        return array if dtype is None else array.astype(dtype)

    def number(self) -> Number:
        """It is none."""
        raise Misuse(f"{self.name}: it is rows, not a number; try its .mean()")


def _here(value: object) -> object:
    """The same with rows and numbers in the places of handles."""
    import numpy as np

    if isinstance(value, Handle):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return type(value)(_here(each) for each in value)
    return value


def named(name: str) -> str:
    """A dataset in an expression."""
    if _NAME.match(name) and name not in _WORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'ds("{escaped}")'


def written(value: object) -> str:
    """What stands in an expression."""
    if isinstance(value, NumberHandle):
        return written(value.number())
    if isinstance(value, Handle):
        return value.text
    item = getattr(value, "item", None)
    one = callable(item) and getattr(value, "size", 0) == 1
    plain = item() if one and item else value
    if isinstance(plain, bool | int | float):
        text = repr(plain)
        return f"({text})" if text.startswith("-") else text
    raise Misuse(
        f"{type(value).__name__}: an expression takes datasets and numbers; save the "
        "array with numpy.save and add it: shoal add FILE"
    )
