"""Where toolgauge keeps what can be made again: quantized models, hashes, downloads, tools. All may be deleted."""

from __future__ import annotations

from pathlib import Path


def cache_path(*parts: str) -> Path:
    """A file or folder in the cache; nothing is made."""
    from platformdirs import user_cache_path

    return user_cache_path("toolgauge", appauthor=False).joinpath(*parts)
