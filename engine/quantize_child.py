"""The child process of `engine.quantize`: one job in, lines of JSON out.

First the sizes of all tensors before and after, then the fraction that is done, again and again; or an error. Without a
target it ends after the sizes. If nobody listens any more, the parent is gone: what was written is removed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from engine.errors import ToolgaugeError
from engine.llama.params import default_threads
from engine.llama.quantizer import estimate, quantize_file


def main(job: dict[str, Any]) -> None:
    source, target = Path(job["source"]), job["target"] and Path(job["target"])

    def say(**message: Any) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except OSError:
            if target:
                target.unlink(missing_ok=True)
            os._exit(1)  # an exception could not leave llama.cpp's callback

    try:
        n_before, n_after = estimate(source, job["file_type"], pure=job["pure"])
        say(n_before=n_before, n_after=n_after)
        if target:
            quantize_file(
                source,
                target,
                job["file_type"],
                pure=job["pure"],
                n_threads=default_threads(),
                on_bytes=lambda n_bytes: say(fraction=min(1.0, n_bytes / n_before)),
            )
            say(fraction=1.0)
    except ToolgaugeError as error:
        say(error=str(error))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
