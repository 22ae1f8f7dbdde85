"""The simulated services of BFCL's multi-turn cases, run as a process of its own: requests and answers are JSON lines.

    python -I -S server.py FOLDER_OF_BFCL_EVAL [FOLDER_OF_MPMATH]

The official classes are imported here and nowhere else. Calls come as names with literal arguments and are looked up
among the documented methods of the case's classes; nothing is evaluated. Every request says all that it depends on and
gives the same answer whatever was asked before: each conversation has instances and even modules of its own, because
those of the official package share state. Uses the standard library only and is started by
`bench.suites.bfcl.simulators`; nothing imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

BACKENDS = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
STATELESS = ("MathAPI",)
FAILED = "Error during execution: "
MOST_MEMORY = 2 << 30
MOST_FILES = 64
MOST_LIVE = 64

Call = Sequence[Any]  # name, positional arguments, named arguments
Result = tuple[str, bool]  # what the caller is shown, whether it failed


class Services:
    """Fresh instances of a case's classes, and their documented methods by name."""

    def __init__(self, scenario: Mapping[str, Any]) -> None:
        self.instances: dict[str, Any] = {}
        self._methods: dict[str, Callable[..., Any]] = {}
        for name, documented in scenario["classes"].items():
            instance = getattr(importlib.import_module(f"{BACKENDS}.{MODULES[name]}"), name)()
            if name not in STATELESS:
                config = json.loads(json.dumps(scenario["config"].get(name, {})))  # it is changed in place
                instance._load_scenario(config, long_context=scenario["long_context"])
            self.instances[name] = instance
            self._methods |= {method: getattr(instance, method) for method in documented}

    def run(self, call: Call) -> Result:
        """One call; whatever it raises is what the caller is told."""
        name, positional, named = call
        if name not in self._methods:
            return f"{FAILED}name '{name}' is not defined", True
        try:
            value = self._methods[name](*positional, **named)
        except Exception as error:
            return f"{FAILED}{error}", True
        failed = isinstance(value, dict) and "error" in value
        return _text(value), failed


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        with contextlib.suppress(TypeError, ValueError):
            return json.dumps(value)
    return str(value)


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `call` after the calls `before`."""
    scenario, before, call = request["scenario"], request["before"], request["call"]
    services = _live.pop(_key(scenario, before), None)
    if services is None:
        services = _anew(scenario)
        for earlier in before:
            services.run(earlier)
    text, failed = services.run(call)
    _live[_key(scenario, [*before, call])] = services
    if len(_live) > MOST_LIVE:
        _live.popitem(last=False)
    return {"text": text, "failed": failed}


_live: OrderedDict[str, Services] = OrderedDict()
"""The services of conversations in progress, by all that has happened in them: saves making the calls before again."""


def _key(scenario: Mapping[str, Any], calls: Sequence[Call]) -> str:
    return json.dumps([scenario, calls])


def _anew(scenario: Mapping[str, Any]) -> Services:
    """Services whose modules nobody else has seen."""
    for name in [name for name in sys.modules if name.startswith(BACKENDS)]:
        del sys.modules[name]
    return Services(scenario)


def judge(request: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the calls of each turn did what the reference's did: equal state, and no result missing.

    A turn without reference calls is played and not judged. As in the official checker both sides live in one process
    and see the same modules.
    """
    model = _anew(request["scenario"])
    reference = Services(request["scenario"])
    shown: list[str] = []
    for turn, (steps, right) in enumerate(zip(request["turns"], request["reference"], strict=True)):
        shown += [model.run(call)[0] for step in steps for call in step]
        wanted = [reference.run(call)[0] for call in right]
        problem = _problem(model, reference, steps, shown, wanted) if right else None
        if problem:
            return {"valid": False, "error_type": problem[0], "error": f"turn {turn + 1}: {problem[1]}"}
    return {"valid": True, "error_type": "", "error": ""}


def _problem(
    model: Services, reference: Services, steps: Sequence[Any], shown: Sequence[str], wanted: Sequence[str]
) -> tuple[str, str] | None:
    if not any(steps):
        return "multi_turn:empty_turn_model_response", "it made no call"
    for name, right in reference.instances.items():
        public = [attribute for attribute in vars(right) if not attribute.startswith("_")]
        differs = [a for a in public if getattr(model.instances[name], a) != getattr(right, a)]
        if differs:
            return "multi_turn:instance_state_mismatch", f"the state of {name} differs in {', '.join(differs)}"
    left = list(shown)
    for text in wanted:
        if text not in left:
            return "multi_turn:execution_response_mismatch", f"no call had the result {text[:200]}"
        left.remove(text)
    return None


OPERATIONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"run": run, "judge": judge}


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """The services simulate everything they do; whoever starts a process or writes a file here is up to no good."""
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    forbidden = ("subprocess.", "socket.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "ctypes.")
    if writes or event.startswith(forbidden):
        raise PermissionError(f"{event} is not allowed here")


def _limit() -> None:
    """What the operating system can hold it to; where it knows no such limits, the process is only timed."""
    try:
        import resource
    except ImportError:
        return
    limits = {resource.RLIMIT_AS: MOST_MEMORY, resource.RLIMIT_NOFILE: MOST_FILES, resource.RLIMIT_CORE: 0}
    for limit, most in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS does not know them all
            resource.setrlimit(limit, (most, most))


def _channel() -> tuple[TextIO, TextIO]:
    """Requests and answers; what a service prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    return sys.stdin, answers


def _answers(requests: TextIO) -> Iterator[dict[str, Any]]:
    for line in requests:
        request = json.loads(line)
        try:
            yield OPERATIONS[request["operation"]](request)
        except Exception as error:
            yield {"broken": f"{type(error).__name__}: {error}"}


def main(folders: Sequence[str]) -> None:
    sys.path += folders
    requests, answers = _channel()
    importlib.import_module("_strptime")  # otherwise imported by the first service that reads a date
    for module in MODULES.values():
        with contextlib.suppress(ModuleNotFoundError):  # mpmath; a case that needs it says so
            importlib.import_module(f"{BACKENDS}.{module}")  # leaves compiled files behind where it can
    sys.dont_write_bytecode = True
    _limit()
    sys.addaudithook(_refuse)
    for answer in _answers(requests):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
