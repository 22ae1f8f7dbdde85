"""The official checker as an oracle: its own code, without the model handlers that it would import.

The checker itself is imported with a stand-in for the table of models, of which it needs one flag. The functions around
it, which call the decoder and judge irrelevance, are taken out of their modules one by one, since those modules import
every provider's client.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.types import Call

UNREADABLE = "unreadable"
RAISES = "raises"
_MODELS = "bfcl_eval.constants.model_config"
_TAKEN = {
    "utils.py": ("is_function_calling_format_output", "is_empty_output"),
    "eval_checker/eval_runner.py": ("_evaluate_single_relevance_entry", "_evaluate_single_ast_entry"),
}


class Oracle:
    def __init__(self, package: Path) -> None:
        self.package = package
        with _isolated(package.parent) as models, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
            enums = importlib.import_module("bfcl_eval.constants.enums")
            converters = "bfcl_eval.eval_checker.ast_eval.type_convertor"
            self._java = importlib.import_module(f"{converters}.java_type_converter").java_type_converter
            self._javascript = importlib.import_module(f"{converters}.js_type_converter").js_type_converter
        self._models = models
        self._language = enums.Language
        self._entry: dict[str, Any] = {
            "ast_checker": checker.ast_checker,
            "ReturnFormat": enums.ReturnFormat,
            "Language": enums.Language,
            "BaseHandler": object,
        }
        for name, functions in _TAKEN.items():
            _take(package / name, functions, self._entry)

    def verdict(
        self,
        category: str,
        functions: Sequence[Mapping[str, Any]],
        calls: Sequence[Call] | None,
        ground_truth: Sequence[Mapping[str, Any]],
        language: str = "python",
        *,
        dots_to_underscores: bool = False,
    ) -> tuple[bool, str]:
        """`valid` and `error_type`, or `RAISES` where it raises; calls None: the decoder fails."""
        self._models.dots = dots_to_underscores
        output = UNREADABLE if calls is None else [{call.name: dict(call.arguments)} for call in calls]
        entry = {"function": functions}
        try:
            if "relevance" in category:
                found = self._entry["_evaluate_single_relevance_entry"](_Handler, "id", output, entry, "m", category)
            else:
                found = self._entry["_evaluate_single_ast_entry"](
                    _Handler, "id", output, ground_truth, entry, "m", category, self._language(language), None
                )
        except Exception:
            return False, RAISES
        return found["valid"], "" if found["valid"] else found["error_type"]

    def read(self, language: str, source: str, kind: str, item_kind: str | None) -> Any:
        """The official conversion of source text, or `RAISES`."""
        converter = self._java if language == "java" else self._javascript
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return converter(source, kind, item_kind)
        except Exception:
            return RAISES


class _Handler:
    @staticmethod
    def decode_ast(result: Any, *_: Any, **__: Any) -> Any:
        if result == UNREADABLE:
            raise ValueError("unreadable")
        return result


class _Models(types.ModuleType):
    """Whatever model is asked for: whether it writes underscores for dots."""

    def __init__(self) -> None:
        super().__init__(_MODELS)
        self.dots = False
        self.MODEL_CONFIG_MAPPING = self

    def __getitem__(self, model: str) -> Any:
        return types.SimpleNamespace(underscore_to_dot=self.dots)


@contextlib.contextmanager
def _isolated(folder: Path) -> Iterator[_Models]:
    """Import from `folder`, and leave neither it nor its modules behind."""
    models = _Models()
    sys.path.insert(0, str(folder))
    sys.modules[_MODELS] = models
    try:
        yield models
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "bfcl_eval"]:
            del sys.modules[name]


def _take(path: Path, names: Sequence[str], namespace: dict[str, Any]) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name in names]
    assert len(functions) == len(names)
    exec(compile(ast.Module(functions, []), str(path), "exec"), namespace)
