"""The tree of a chat template, with calls put in that count what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.visitor import NodeTransformer

# Names that no template can write.
LOOP, TEXT, SUM = "loop over", "text of", "sum of"
SPEND, PART, READ, KEY = "spend", "part of", "read", "key of"


def counted(template: nodes.Template) -> nodes.Template:
    """The same template, which calls the filters of these names."""
    return _Counting().visit(template)


class _Counting(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.recursive:
            raise TemplateError("recursive loops are not accepted")
        self.generic_visit(node)
        inner = [*node.body, *([node.test] if node.test else [])]
        node.iter = _call(LOOP, node.iter, nodes.Const(_cost(inner)))
        return node

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        paid = _call(SPEND, nodes.Const(""), nodes.Const(_cost(node.body)))
        node.body.insert(0, nodes.Output([paid], lineno=node.lineno))
        return node

    visit_CallBlock = visit_Macro  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call(TEXT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Add(self, node: nodes.Add) -> nodes.Node:  # noqa: N802
        """A chain of additions, which mostly makes a text, is one step."""
        values: list[nodes.Expr] = []
        one: nodes.Expr = node
        while isinstance(one, nodes.Add):
            values.insert(0, one.right)
            one = one.left
        values = [self.visit(value) for value in (one, *values)]
        return _call(SUM, nodes.List(values, lineno=node.lineno))

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [one if _paid(one) else _call(READ, one) for one in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call(PART, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.key = node.key if isinstance(node.key, nodes.Const) else _call(KEY, node.key)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """Comparing with something written in the template costs nothing, all else its size."""
        self.generic_visit(node)
        sides = [node.expr, *(one.expr for one in node.ops)]
        inside = any(one.op in ("in", "notin") for one in node.ops)
        written = [_written(one) for one in sides]
        if len(sides) == 2 and (written[1] or (written[0] and not inside)):
            return node
        node.expr = _call(READ, node.expr)
        for one in node.ops:
            one.expr = _call(READ, one.expr)
        return node

    def visit_Block(self, node: nodes.Node) -> nodes.Node:  # noqa: N802
        raise TemplateError("templates that hold or load others are not accepted")

    visit_Extends = visit_Include = visit_Import = visit_FromImport = visit_Block  # noqa: N815


def _call(name: str, value: Any, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(args), [], None, None, lineno=value.lineno)


def _paid(node: nodes.Expr) -> bool:
    """Whether a text was paid when it was made; added to a text, only a text gives anything."""
    if isinstance(node, nodes.Filter) and node.name == SUM and isinstance(node.node, nodes.List):
        added = (one.value for one in node.node.items if isinstance(one, nodes.Const))
        return any(type(value) is str for value in added)
    return isinstance(node, nodes.Const | nodes.TemplateData) or (
        isinstance(node, nodes.Filter) and node.name in (TEXT, SPEND)
    )


def _written(node: nodes.Node) -> bool:
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(isinstance(one, nodes.Const) for one in node.items)
    return isinstance(node, nodes.Const)


def _cost(body: Sequence[nodes.Node]) -> int:
    """What one pass costs: its steps, and the text that it writes itself."""
    return 1 + sum(
        len(part.data) if isinstance(part, nodes.TemplateData) else 1
        for one in body
        for part in (one, *one.find_all(nodes.Node))
    )
