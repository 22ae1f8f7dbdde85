"""Items in any order: a rule for each set of items that may still come.

For engines that cannot remember what has been written. There are twice as many sets with each item more, so that only
so many may stand in any order; of more than that, so many at a time do. Knows no engine's syntax.
"""

from __future__ import annotations

from grammars.nodes import AnyOrder, Literal, Node, Repeat, Seq
from grammars.regular import EMPTY, Expr, Rule, alt, cat
from grammars.restricted import Grammar


def in_groups(node: AnyOrder, most: int) -> Node:
    """The items in groups of at most so many, which follow each other: any order within each."""
    starts = range(0, len(node.items), most)
    groups = [(node.items[start : start + most], node.is_required[start : start + most]) for start in starts]
    found = tuple(any_order(items, required) for items, required in groups)
    return found[0] if len(found) == 1 else Seq(found)


def any_order(items: tuple[Node, ...], is_required: tuple[bool, ...]) -> Node:
    """Items in any order; of fewer than two there is only one."""
    match items, is_required:
        case (item,), (True,):
            return item
        case (item,), (False,):
            return Repeat(item, separator=Literal(""), minimum=0, maximum=1)
        case (), ():
            return Seq(())
    return AnyOrder(items, is_required)


def order_rules(items: list[Expr], is_required: tuple[bool, ...], grammar: Grammar) -> Expr:
    """The items in any order, as rules; each item is one, and the others refer to it."""
    prefix = f"order{len(grammar.rules)}"
    for index, item in enumerate(items):
        grammar.rules[f"{prefix}-item-{index}"] = item
    known: dict[int, Expr] = {0: EMPTY}

    def rest(left: int) -> Expr:
        """`left` has a bit for each item that may still come."""
        if left not in known:
            open_items = [index for index in range(len(items)) if left >> index & 1]
            ways = [cat(Rule(f"{prefix}-item-{index}"), rest(left & ~(1 << index))) for index in open_items]
            may_end = not any(is_required[index] for index in open_items)
            name = f"{prefix}-left-{left:b}"
            grammar.rules[name] = alt(*ways, *([EMPTY] if may_end else []))
            known[left] = Rule(name)
        return known[left]

    return rest((1 << len(items)) - 1)
