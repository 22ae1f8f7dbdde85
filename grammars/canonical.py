"""The one serialisation over which grammars, prompts and tests agree: compact separators with a space, text unescaped.

    dumps({"b": 1, "a": "é"}, {"properties": {"a": {}, "b": {}}})   # '{"a": "é", "b": 1}'

Knows no backend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, schema: Mapping[str, Any] | None = None) -> str:
    """JSON text of `value`; with a schema, properties in its order and unknown ones last."""
    return json.dumps(value if schema is None else _ordered(value, schema), ensure_ascii=False)


def _ordered(value: Any, schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        rank = {name: position for position, name in enumerate(properties)}
        names = sorted(value, key=lambda name: rank.get(name, len(rank)))
        return {name: _ordered(value[name], properties.get(name)) for name in names}
    if isinstance(value, list | tuple):
        first = schema.get("prefixItems", [])
        return [_ordered(item, first[i] if i < len(first) else schema.get("items")) for i, item in enumerate(value)]
    return value
