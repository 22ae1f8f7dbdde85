"""The measuring process of `bench.profile.profiler`: one job in, lines of JSON out, the last of them the result."""

from __future__ import annotations

import json
import sys
from typing import Any

from bench.profile.measure import profile
from bench.profile.values import Job
from engine.child import end_with_parent
from engine.errors import ToolgaugeError


def main(text: str) -> None:
    end_with_parent()

    def say(**message: Any) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    try:
        found = profile(Job.from_json(json.loads(text)), lambda fraction: say(fraction=fraction))
        say(profiled=found.to_json())
    except ToolgaugeError as error:
        say(error=str(error))


if __name__ == "__main__":
    main(sys.argv[1])
