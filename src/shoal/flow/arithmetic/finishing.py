"""What partials, and the numbers they come to, come to in the end."""

from shoal.flow.arithmetic import reductions
from shoal.flow.arithmetic.kernel import collected, number_of
from shoal.flow.language.expressions import Expression
from shoal.flow.messages import Reduction
from shoal.flow.protocol import Number


def combine(
    warnings: dict[str, int], reduction: Reduction, partials: list[bytes]
) -> Number:
    """The number of a reduction, from its partials in their order."""
    with collected(warnings):
        combined = reductions.combine(reduction.operation, partials)
        return reductions.finish(reduction.operation, combined, reduction.form)


def finished(
    warnings: dict[str, int], expression: Expression, values: dict[int, Number]
) -> Number:
    """An expression of numbers: its inputs are those of reductions."""
    with collected(warnings):
        return number_of(expression, [values[number] for number in sorted(values)])
