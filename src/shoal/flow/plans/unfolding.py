"""An additive operation of several datasets is the sum of itself over each of them."""

from msgspec.structs import replace

from shoal.flow.arithmetic.types import Typed, call, type_name


def unfolded(node: Typed) -> Typed:
    """The same tree, where every argument of an additive operation is done apart."""
    if not node.operation:
        return node
    arguments = tuple(unfolded(each) for each in node.arguments)
    if not adds(node):
        return replace(node, arguments=arguments)
    single = tuple(_apart(node.operation, each) for each in arguments)
    first = single[0]
    if first.form.kind != node.form.kind:
        # The sum is wider than its terms: so is the first, and the rest follows.
        wide = type_name(node.form)
        first = call(wide, (first,), f"{wide}({first.text})")
    return call("total", (first, *single[1:]), node.text)


def adds(node: Typed) -> bool:
    """Is it a sum of the same operation over several arguments?"""
    additive = bool(node.operation) and node.known.algebra == "additive"
    return additive and len(node.arguments) > 1


def _apart(operation: str, argument: Typed) -> Typed:
    node = call(operation, (argument,), f"{operation}({argument.text})")
    return replace(node, apart=node.rows is not None)
