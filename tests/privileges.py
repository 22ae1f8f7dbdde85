"""What a test may do to the machine, taken away for a while."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PASS = stat.S_IXGRP | stat.S_IXOTH  # to go through a folder, and no more


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Root may write everything; what is about permissions has to be tried as somebody else, who finds `folder`."""
    if os.geteuid() != 0:
        yield
        return
    for parent in folder.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if mode | _PASS != mode:
            parent.chmod(mode | _PASS)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
