"""What a tool's schema says of values that are left out: at its `default`, an argument or a field is as good as none.

    known = defaults(tool)
    known.fields                                # {"unit": "celsius"}: parameters with a default
    known.part("recurrence").fields             # {"interval": 1}: fields of that argument with one
    known.stripped(call.arguments, same)        # the arguments without what stands at its default, at any depth

Where the schema offers several kinds of object for one value, nobody says whose defaults count, and none do. Knows no
matcher and no case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from bench.suites.listed import Listed, part_of
from engine.formats.typed import flat_kinds
from engine.types import Tool

Alike = Callable[[Any, Any], bool]
"""When two JSON values count as the same."""


_OF_PARTS = ("properties", "additionalProperties", "prefixItems", "items")


class Defaults:
    """The defaults of the fields of one value, and of those in its parts; `root` is what references point into."""

    def __init__(self, schema: Any, root: Mapping[str, Any]) -> None:
        self._schema, self._root = schema, root

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """Field -> default, for the fields that have one."""
        properties = self._holder("object").get("properties", {})
        return {n: s["default"] for n, s in properties.items() if isinstance(s, Mapping) and "default" in s}

    def part(self, step: str | int) -> Defaults:
        """Those of one field, or of one element."""
        return Defaults(part_of(self._holder("object" if isinstance(step, str) else "array"), step), self._root)

    def stripped(self, value: Any, alike: Alike) -> Any:
        """The value without the fields that stand at their default."""
        return self._stripped(value, alike, of_default=False)

    def is_default(self, name: str, value: Any, alike: Alike) -> bool:
        """Whether the field may as well be left out as have this value."""
        return self._is_at(name, value, self.part(name).stripped(value, alike), alike, of_default=False)

    def _stripped(self, value: Any, alike: Alike, *, of_default: bool) -> Any:
        if not isinstance(self._schema, Mapping):
            return value  # nothing is said of what is in it
        if isinstance(value, list | tuple):
            return [self.part(i)._stripped(item, alike, of_default=of_default) for i, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        bare = {name: self.part(name)._stripped(inner, alike, of_default=of_default) for name, inner in value.items()}
        return {
            name: inner
            for name, inner in bare.items()
            if not self._is_at(name, value[name], inner, alike, of_default=of_default)
        }

    def _is_at(self, name: str, value: Any, bare: Any, alike: Alike, *, of_default: bool) -> bool:
        """`bare` is the value stripped. Of a default's own fields the defaults stay whole: a schema may hold itself."""
        if name not in self.fields:
            return False
        default = self.fields[name]
        if alike(value, default):
            return True
        return not of_default and alike(bare, self.part(name)._stripped(default, alike, of_default=True))

    @cached_property
    def _alternatives(self) -> list[Any]:
        return Listed(self._schema, self._root).alternatives

    def _holder(self, kind: str) -> Mapping[str, Any]:
        """What is said of the parts of an object or an array: by all alternatives alike, or else beside them."""
        found = [one for one in self._alternatives if isinstance(one, dict) and kind in flat_kinds(one)]
        if found and all(one.get(key) == found[0].get(key) for one in found for key in _OF_PARTS):
            return found[0]
        return self._schema if isinstance(self._schema, Mapping) else {}


def defaults(tool: Tool) -> Defaults:
    """Those of a tool's parameters."""
    return Defaults(tool.parameters, tool.parameters)
