"""Counts the operations of a program by tracing the whole call into one graph and reading the graph."""

import math
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import tensorflow as tf

from gradperf.frameworks.contract import FUNCTIONS, Operations, function_named

_PRODUCTS = ("MatMul", "BatchMatMulV2")
_ARITHMETIC = (*_PRODUCTS, "Einsum", "Mul", "Relu", "Tanh", "Sub", "Square", "Cos", "Sin")


_MOVES = (
    *("Assert", "AssignVariableOp", "BroadcastGradientArgs", "BroadcastTo", "Cast", "ConcatV2", "Const", "Empty"),
    *("DeepCopy", "EnsureShape", "ExpandDims", "Fill", "GatherV2", "Identity", "IdentityN", "NoOp", "OnesLike"),
    *("Pack", "Placeholder", "PreventGradient", "Range", "Rank", "ReadVariableOp", "Reshape", "Shape", "ShapeN"),
    *("Size", "Slice", "Snapshot", "Split", "Squeeze", "StopGradient", "StridedSlice", "Tile", "Transpose"),
    *("Unpack", "VarHandleOp", "VarIsInitializedOp", "ZerosLike"),
)
"""Operations that only move or fill entries."""
_SUMS = ("Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "BiasAddGrad", "L2Loss")


def operations(run: Callable[[], Any], dtype: Any) -> Operations:
    """Trace ``run``; a function counts at each call in the graph."""

    def traced() -> None:
        run()  # what it returns may not be a tensor

    graph = tf.function(traced, autograph=False).get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes, called = attrgetter("node", "library.function")(graph)
    return _operations(nodes, {}, {function.signature.name: function for function in called}, tf.as_dtype(dtype))


def execution(run: Callable[[], Any]) -> str:
    """Return whether the work is in functions, and whether XLA compiles all of them."""

    def traced() -> None:
        run()

    graph = tf.function(traced, autograph=False).get_concrete_function().graph.as_graph_def()
    nodes, library = attrgetter("node", "library.function")(graph)
    functions = {function.signature.name: function for function in library}
    called = [node.attr["f"].func.name for node in nodes if node.attr["f"].func.name in functions]
    if not called:
        return "eager"
    if any(node.op in _ARITHMETIC for node in nodes):
        return "partly in graphs"
    by_xla = sum(functions[name].attr["_XlaMustCompile"].b for name in called)
    return "graph" if not by_xla else "xla" if by_xla == len(called) else "partly by XLA"


def _operations(
    nodes: Iterable[Any], arguments: Mapping[str, int], functions: Mapping[str, Any], dtype: Any
) -> Operations:
    nodes = list(nodes)
    sizes = {**arguments, **{node.name: _size(node.attr) for node in nodes}}
    products, others, used = 0, 0, frozenset[str]()
    for node in nodes:
        if node.op in (*_PRODUCTS, "Einsum"):
            if tf.as_dtype(node.attr["T"].type) != dtype:
                continue
            if node.op == "Einsum":
                products += 2 * _entries(node, sizes)
            else:  # (m, k) by (k, n), either transposed or not: the first has m·k entries.
                products += 2 * sizes[node.input[0].partition(":")[0]] * _shape(node.attr)[-1]
        elif called := _called(node, functions):
            inner = [_operations(*_body(functions[name]), functions, dtype) for name in called]
            # Of the branches of a condition one is run. The others must not stand for its work.
            products += min(each.products for each in inner)
            others += min(each.others for each in inner)
            used = used.union(*(each.functions for each in inner))
        elif node.op not in _MOVES:
            others += sizes[node.input[0].partition(":")[0]] if node.op in _SUMS else _size(node.attr)
            used |= FUNCTIONS & {function_named(node.op)}
    return Operations(products, others, used)


def _called(node: Any, functions: Mapping[str, Any]) -> list[str]:
    """Return the function that a node calls, or the branches of which it calls one.

    Raises NotImplementedError for a loop in the graph: how often it runs is not known.
    """
    attributes = node.attr
    if node.op.endswith("While"):
        raise NotImplementedError(f"the operations in {node.op} cannot be counted")
    branches = [attributes[name].func.name for name in ("f", "then_branch", "else_branch")]
    branches += [branch.name for branch in attributes["branches"].list.func]
    return [name for name in branches if name in functions]


def _body(function: Any) -> tuple[Any, dict[str, int]]:
    """Return the nodes of a function, and the sizes of its arguments."""
    names = [argument.name for argument in function.signature.input_arg]
    return function.node_def, {names[index]: _size(attr.attr) for index, attr in function.arg_attr.items()}


def _shape(attributes: Any) -> list[int]:
    shapes = attributes["_output_shapes"].list.shape
    return [dimension.size for dimension in shapes[0].dim] if shapes else []


def _size(attributes: Any) -> int:
    return math.prod(_shape(attributes))


def _entries(node: Any, sizes: Mapping[str, int]) -> int:
    """Return i·j·k of (i, k) by (k, j): entries of the result, times k = size of the first / i."""
    rows, columns = _shape(node.attr)
    return rows * columns * (sizes[node.input[0].partition(":")[0]] // rows)
