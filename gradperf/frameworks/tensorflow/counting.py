"""Counts the matrix products of a program by tracing the whole call into one graph and reading the graph."""

import math
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import tensorflow as tf

_PRODUCTS = ("MatMul", "BatchMatMulV2")
_ARITHMETIC = (*_PRODUCTS, "Einsum", "Mul", "Relu", "Tanh", "Sub", "Square", "Cos", "Sin")


def product_flops(run: Callable[[], Any], dtype: Any) -> int:
    """Trace ``run``; a function counts at each call in the graph."""

    def traced() -> None:
        run()  # what it returns may not be a tensor

    graph = tf.function(traced, autograph=False).get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes, called = attrgetter("node", "library.function")(graph)
    return _products(nodes, {}, {function.signature.name: function for function in called}, tf.as_dtype(dtype))


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


def _products(nodes: Iterable[Any], arguments: Mapping[str, int], functions: Mapping[str, Any], dtype: Any) -> int:
    nodes = list(nodes)
    sizes = {**arguments, **{node.name: _size(node.attr) for node in nodes}}
    total = 0
    for node in nodes:
        if node.op in (*_PRODUCTS, "Einsum") and tf.as_dtype(node.attr["T"].type) != dtype:
            continue
        if node.op in _PRODUCTS:
            columns = _shape(node.attr)[-1]
            # (m, k) by (k, n), either transposed or not: the first has m·k entries.
            total += 2 * sizes[node.input[0].partition(":")[0]] * columns
        elif node.op == "Einsum":
            total += 2 * _entries(node, sizes)
        elif (called := node.attr["f"].func.name) in functions:
            function = functions[called]
            names = [argument.name for argument in function.signature.input_arg]
            shapes = {names[index]: _size(attr.attr) for index, attr in function.arg_attr.items()}
            total += _products(function.node_def, shapes, functions, dtype)
    return total


def _shape(attributes: Any) -> list[int]:
    shapes = attributes["_output_shapes"].list.shape
    return [dimension.size for dimension in shapes[0].dim] if shapes else []


def _size(attributes: Any) -> int:
    return math.prod(_shape(attributes))


def _entries(node: Any, sizes: Mapping[str, int]) -> int:
    """Return i·j·k of (i, k) by (k, j): entries of the result, times k = size of the first / i."""
    rows, columns = _shape(node.attr)
    return rows * columns * (sizes[node.input[0].partition(":")[0]] // rows)
