"""A shop's stock: items with a price and a count, and the orders that take from it.

    start(7).items["lamp"]   # Item(title="Desk lamp", price_eur=34.5, count=4)

An order's number follows from what is ordered and for whom, so that independent orders may come in any order.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.suites.worlds import ToolFault

VERSION = "1"
"""Changes when a tool could answer otherwise; part of the hash of every case that plays here."""

_TITLES = {
    "lamp": "Desk lamp",
    "kettle": "Steel kettle",
    "rug": "Wool rug",
    "clock": "Wall clock",
    "stool": "Oak stool",
    "mirror": "Round mirror",
}

ItemId = Annotated[str, Field(description="The item's id, as found by find_items.")]
OrderId = Annotated[str, Field(description="The order's number, e.g. 'OR-4711'.")]


@dataclass(slots=True)
class Item:
    title: str
    price_eur: float
    count: int


@dataclass(slots=True)
class Order:
    item_id: str
    quantity: int
    customer: str
    status: Literal["placed", "shipped", "cancelled"] = "placed"


@dataclass(slots=True)
class State:
    items: dict[str, Item]
    orders: dict[str, Order] = field(default_factory=dict)


def start(seed: int) -> State:
    """Prices and counts by the seed; no orders yet."""
    rng = random.Random(seed)
    return State({id_: Item(title, rng.randrange(20, 400) / 2, rng.randrange(2, 9)) for id_, title in _TITLES.items()})


def find_items(
    state: State, *, query: Annotated[str, Field(description="Words from the item's title.")]
) -> dict[str, Any]:
    """Find items in the shop's catalogue by words of their title."""
    words = query.casefold().split()
    found = [
        {"item_id": id_, "title": item.title, "price_eur": item.price_eur, "in_stock": item.count}
        for id_, item in state.items.items()
        if all(word in item.title.casefold() for word in words)
    ]
    return {"items": found}


def place_order(
    state: State,
    *,
    item_id: ItemId,
    customer: Annotated[str, Field(description="The customer's e-mail address.")],
    quantity: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, Any]:
    """Order an item for a customer."""
    item = _item(state, item_id)
    if item.count < quantity:
        raise ToolFault("conflict", f"only {item.count} of {item_id} in stock", "quantity")
    order_id = _order_id(item_id, customer, quantity)
    if order_id in state.orders:
        raise ToolFault("conflict", f"this order has been placed before, as {order_id}")
    item.count -= quantity
    state.orders[order_id] = Order(item_id, quantity, customer)
    return {"order_id": order_id, "total_eur": item.price_eur * quantity, "status": "placed"}


def get_order(state: State, *, order_id: OrderId) -> dict[str, Any]:
    """Look up an order by its number."""
    order = _order(state, order_id)
    return {"order_id": order_id, "item_id": order.item_id, "quantity": order.quantity, "status": order.status}


def cancel_order(state: State, *, order_id: OrderId) -> dict[str, Any]:
    """Cancel an order that has not been shipped; its items go back into stock."""
    order = _order(state, order_id)
    if order.status != "placed":
        raise ToolFault("conflict", f"order {order_id} is {order.status} and cannot be cancelled")
    order.status = "cancelled"
    state.items[order.item_id].count += order.quantity
    return {"order_id": order_id, "status": "cancelled"}


TOOLS = (find_items, place_order, get_order, cancel_order)


def _item(state: State, item_id: str) -> Item:
    if item_id not in state.items:
        raise ToolFault("not_found", f"there is no item '{item_id}'", "item_id")
    return state.items[item_id]


def _order(state: State, order_id: str) -> Order:
    if order_id not in state.orders:
        raise ToolFault("not_found", f"there is no order '{order_id}'", "order_id")
    return state.orders[order_id]


def _order_id(*parts: object) -> str:
    return f"OR-{zlib.crc32(repr(parts).encode()) % 9000 + 1000}"
