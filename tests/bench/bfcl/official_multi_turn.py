"""The official multi-turn checker as an oracle, run as a program: conversations as JSON lines in, verdicts out.

    python official_multi_turn.py FOLDER [FOLDER_OF_MPMATH] < conversations

Every conversation is judged in a process of its own, because the official instances and even the modules keep state.
Standard library only; imports the official package, and runs where toolgauge is not installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import Any

SERVICES = (
    "gorilla_file_system",
    "math_api",
    "message_api",
    "posting_api",
    "ticket_api",
    "trading_bot",
    "travel_booking",
    "vehicle_control",
)


def judged(conversation: dict[str, Any]) -> dict[str, Any]:
    """`turns`: for each turn its steps, each a list of calls in Python's syntax."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    entry = conversation["entry"]
    if len(conversation["turns"]) != len(conversation["ground_truth"]):
        return {"valid": False, "error_type": "multi_turn:force_terminated"}
    with contextlib.redirect_stdout(io.StringIO()):
        found = multi_turn_checker(
            conversation["turns"], conversation["ground_truth"], entry, entry["id"].rsplit("_", 1)[0], "model"
        )
    return {"valid": found["valid"], "error_type": found.get("error_type", "")}


def in_a_child(conversation: dict[str, Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(judged(conversation)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text or json.dumps({"valid": False, "error_type": "raises"})


if __name__ == "__main__":
    sys.path += sys.argv[1:]
    import bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker  # noqa: F401

    for name in SERVICES:  # once, before the forks
        __import__(f"bfcl_eval.eval_checker.multi_turn_eval.func_source_code.{name}")
    for line in sys.stdin:
        sys.stdout.write(in_a_child(json.loads(line)) + "\n")
