"""A small package in the official one's form, all of its content made up: data, answers, documents and one service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILES = "bfcl_eval/eval_checker/multi_turn_eval/func_source_code"

ROOMS = '''
"""A made-up service under an official name: lamps in rooms."""
import time

SHARED = {"switched": 0}


class GorillaFileSystem:
    def __init__(self):
        self.lamps = {}
        self._secret = 1

    def _load_scenario(self, scenario, long_context=False):
        self.lamps = scenario.get("lamps", {})
        self.long = long_context

    def switch(self, room, on=True):
        if room not in self.lamps:
            return {"error": f"there is no {room}"}
        self.lamps[room] = on
        SHARED["switched"] += 1
        return {"room": room, "on": on}

    def switched(self):
        return SHARED["switched"]

    def count(self):
        return len(self.lamps)

    def name(self):
        print("a service may print")
        return "lamps"

    def thing(self):
        return {"self": self.__class__}

    def nap(self, seconds):
        time.sleep(seconds)
        return "awake"

    def leave(self):
        import os

        os._exit(3)

    def undocumented(self):
        return "never"

    def write(self, path):
        with open(path, "w") as stream:
            stream.write("x")

    def start(self):
        import subprocess

        return subprocess.run(["true"]).returncode
'''
DOCUMENTED: Mapping[str, Mapping[str, Any]] = {
    "switch": {
        "room": {"type": "string", "description": "Which."},
        "on": {"type": "boolean", "description": "On?", "default": True},
    },
    "switched": {},
    "count": {},
    "name": {},
    "thing": {},
    "nap": {"seconds": {"type": "float", "description": "How long."}},
    "leave": {},
    "write": {"path": {"type": "string", "description": "Where."}},
    "start": {},
}
REQUIRED = {"switch": ["room"], "nap": ["seconds"], "write": ["path"]}
OTHER_SERVICES = (
    "math_api message_api posting_api ticket_api trading_bot travel_booking vehicle_control".split()  # noqa: SIM905
)


def function(name: str, properties: Mapping[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    """A function document; without `required` every parameter is."""
    needed = list(properties) if required is None else list(required)
    parameters = {"type": "dict", "properties": dict(properties), "required": needed}
    return {"name": name, "description": f"Does {name}.", "parameters": parameters}


def text(**more: Any) -> dict[str, Any]:
    return {"type": "string", "description": "A text.", **more}


def question(case_id: str, *functions: dict[str, Any], said: str = "Do it.") -> dict[str, Any]:
    return {"id": case_id, "question": [[{"role": "user", "content": said}]], "function": list(functions)}


def answer(case_id: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"id": case_id, "ground_truth": list(calls)}


def write_package(
    folder: Path,
    questions: Mapping[str, Sequence[Mapping[str, Any]]],
    answers: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Path:
    """The folder `bfcl_eval` with these files by category, the service and its documents."""
    package = folder / "bfcl_eval"
    for name, rows in questions.items():
        write_rows(package / "data" / f"BFCL_v4_{name}.json", rows)
    for name, rows in (answers or {}).items():
        write_rows(package / "data" / "possible_answer" / f"BFCL_v4_{name}.json", rows)
    documents = [function(name, fields, REQUIRED.get(name, [])) for name, fields in DOCUMENTED.items()]
    place = package / "data" / "multi_turn_func_doc"
    write_rows(place / "gorilla_file_system.json", documents)
    for service in OTHER_SERVICES:
        write_rows(place / f"{service}.json", [])
    sources = folder / FILES
    sources.mkdir(parents=True)
    for part in (sources, *list(sources.parents)[:3]):
        (part / "__init__.py").touch()
    (sources / "gorilla_file_system.py").write_text(ROOMS, encoding="utf-8")
    for service in OTHER_SERVICES:
        (sources / f"{service}.py").touch()
    return package


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def conversation(case_id: str, *said: str | None, lamps: Mapping[str, bool], **more: Any) -> dict[str, Any]:
    """A multi-turn question; None: a turn in which the user says nothing."""
    turns = [[] if words is None else [{"role": "user", "content": words}] for words in said]
    config = {"GorillaFileSystem": {"lamps": dict(lamps)}}
    return {
        "id": case_id,
        "question": turns,
        "initial_config": config,
        "involved_classes": ["GorillaFileSystem"],
        **more,
    }
