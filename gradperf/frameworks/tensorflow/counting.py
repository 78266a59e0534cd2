"""Counts the operations of a program by tracing the whole call into one graph and reading the graph.

What depends on the constants of a graph alone is computed once, before its first call. It does not count.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any
from unittest.mock import patch

import tensorflow as tf

from gradperf.frameworks.contract import Operations, named_functions

v1 = tf.compat.v1

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


_SOURCES = ("Placeholder", "VarHandleOp", "VariableV2")
"""Operations without inputs whose results are not the same at each call."""
_AT_EACH_CALL = ("Random", "PyFunc")
"""Parts of the names of more such operations: random numbers, and Python."""


def operations(run: Callable[[], Any], dtype: Any) -> Operations:
    """Trace ``run``; a function counts at each call in the graph, a program that is run meanwhile at each run."""
    programs, graph = _traced(run, add_shapes=True)
    counter = _Counter(tf.as_dtype(dtype), _functions(graph))
    # Outside of all functions everything is computed at each call.
    counter.count(attrgetter("node")(graph), {}, constants=True)
    for program in programs:
        of_program = replace(counter, functions=_functions(program))
        of_program.count(attrgetter("node")(program), {}, constants=False)
        counter = replace(of_program, functions=counter.functions)
    functions = named_functions(counter.names)
    return Operations(counter.products, counter.others, functions, elsewhere=counter.elsewhere, extra=counter.extra)


def _functions(graph: Any) -> dict[str, Any]:
    return {function.signature.name: function for function in attrgetter("library.function")(graph)}


def _traced(run: Callable[[], Any], *, add_shapes: bool = False) -> tuple[list[Any], Any]:
    """Trace ``run``; return the programs that were run meanwhile, and the graph of all else.

    Those are runs of a session, and calls of a ``tf.function`` that has traced its arguments before: they cannot be
    traced from outside, and are made.
    """
    programs: list[Any] = []
    of_functions = type(tf.function(lambda: None))
    session_run, call = v1.Session.run, of_functions.__call__

    def noted_run(session: Any, fetches: Any, *arguments: Any, **named: Any) -> Any:
        wanted = [fetch.name.partition(":")[0] for fetch in tf.nest.flatten(fetches) if hasattr(fetch, "name")]
        programs.append(_needed_for(wanted, session.graph.as_graph_def(add_shapes=True)))
        return session_run(session, fetches, *arguments, **named)

    def noted_call(function: Any, *arguments: Any, **named: Any) -> Any:
        if not of_functions.is_outside:
            return call(function, *arguments, **named)
        with tf.init_scope():
            of_functions.is_outside = False
            try:
                concrete = function.get_concrete_function(*arguments, **named)
                programs.append(concrete.graph.as_graph_def(add_shapes=True))
                return call(function, *arguments, **named)
            finally:
                of_functions.is_outside = True

    def traced() -> None:
        run()  # what it returns may not be a tensor

    with (
        patch.object(v1.Session, "run", noted_run),
        patch.object(of_functions, "__call__", noted_call),
        patch.object(of_functions, "is_outside", True, create=True),
    ):
        graph = tf.function(traced, autograph=False).get_concrete_function().graph
    return programs, graph.as_graph_def(add_shapes=add_shapes)


def _needed_for(wanted: Iterable[str], graph: Any) -> Any:
    """Return the part of ``graph`` that a session runs to get the nodes ``wanted``."""
    by_name, needed, waiting = {node.name: node for node in graph.node}, set[str](), [*wanted]
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting += [_node_of(taken) for taken in by_name[name].input]
    return v1.GraphDef(
        node=[node for node in graph.node if node.name in needed], library=attrgetter("library")(graph)
    )


def _node_of(taken: str) -> str:
    return taken.removeprefix("^").partition(":")[0]


def execution(run: Callable[[], Any]) -> str:
    """Return whether the work is in functions, whether XLA compiles all of them, or whether a session does it."""
    programs, graph = _traced(run)
    nodes, functions = attrgetter("node")(graph), _functions(graph)
    called = [functions[node.attr["f"].func.name] for node in nodes if node.attr["f"].func.name in functions]
    for program in programs:
        within = _functions(program)
        called += [within[name] for node in program.node for name in _called(node, within)] or [program]
    if not called:
        return "eager"
    if any(node.op in _ARITHMETIC for node in nodes):
        return "partly in graphs"
    by_xla = sum(_is_by_xla(function) for function in called)
    return "graph" if not by_xla else "xla" if by_xla == len(called) else "partly by XLA"


def _is_by_xla(function: Any) -> bool:
    return hasattr(function, "attr") and bool(function.attr["_XlaMustCompile"].b)


@dataclass
class _Counter:
    """What was counted so far."""

    dtype: Any
    functions: Mapping[str, Any]
    """Those that nodes may call, by name."""
    products: int = 0
    others: int = 0
    elsewhere: int = 0
    extra: int = 0
    names: set[str] = field(default_factory=set)

    def count(self, nodes: Iterable[Any], arguments: Mapping[str, int], *, constants: bool) -> None:
        """Count all nodes, of a body whose ``arguments`` have these sizes.

        ``constants``: also those that depend on constants alone, which are computed once in a graph.
        """
        nodes = list(nodes)
        sizes = {**arguments, **{node.name: _size(node.attr) for node in nodes}}
        varying = {*arguments}
        for node in nodes:
            taken = [_node_of(name) for name in node.input]
            if constants or not varying.isdisjoint(taken) or _is_made_at_each_call(node.op):
                varying.add(node.name)
                self._node(node, taken, sizes)

    def _node(self, node: Any, taken: list[str], sizes: Mapping[str, int]) -> None:
        if node.op in (*_PRODUCTS, "Einsum"):
            if tf.as_dtype(node.attr["T"].type) != self.dtype:
                return
            if node.op == "Einsum":
                self.products += 2 * _entries(node, sizes)
            else:  # (m, k) by (k, n), either transposed or not: the first has m·k entries.
                self.products += 2 * sizes[taken[0]] * _shape(node.attr)[-1]
        elif called := _called(node, self.functions):
            self._cheapest([self.functions[name] for name in called])
        elif node.op not in _MOVES:
            entries = sizes[taken[0]] if node.op in _SUMS else _size(node.attr)
            self.others += entries
            self.names.add(node.op)
            dtype = tf.as_dtype(node.attr["T"].type or tf.bool.as_datatype_enum)
            self.elsewhere += entries if entries > 1 and dtype.is_floating and dtype != self.dtype else 0

    def _cheapest(self, functions: list[Any]) -> None:
        """Count a function, or the cheapest of several branches: no other must stand for its work."""
        each = [_Counter(self.dtype, self.functions) for _ in functions]
        for counter, function in zip(each, functions, strict=True):
            counter.count(*_body(function), constants=False)
            self.names |= counter.names
            self.elsewhere += counter.elsewhere
        products, others = ([getattr(one, name) for one in each] for name in ("products", "others"))
        self.products, self.others = self.products + min(products), self.others + min(others)
        self.extra += max(products) - min(products) + max(others) - min(others) + max(one.extra for one in each)


def _is_made_at_each_call(operation: str) -> bool:
    return operation in _SOURCES or any(part in operation for part in _AT_EACH_CALL)


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
