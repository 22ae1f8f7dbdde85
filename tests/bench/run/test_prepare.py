"""From what a person names to planned models: ladders, levels, labels, downloads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.models.resolve import Hub
from bench.report.build import build
from bench.results.store import Store
from bench.run import prepare, writer
from bench.run.config import RunConfig
from bench.run.ladders import stem_of
from bench.run.plan import PlannedModel
from bench.run.prepare import AskingHub, Nobody, NotWanted, models_for, plan_for
from engine.quantize import quantize
from grammars.errors import ToolgaugeError
from tests.tiny_gguf import write_tiny_model


class Heard(Nobody):
    """Keeps what it is told and answers every question alike."""

    def __init__(self, *, yes: bool = True) -> None:
        self.said: list[str] = []
        self.labels: list[str] = []
        self.asked: list[str] = []
        self._yes = yes

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[float], None]]:
        self.labels.append(label)
        yield lambda fraction: None

    def may_download(self, what: str) -> bool:
        self.asked.append(what)
        return self._yes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-F16.gguf, tiny-Q8_0.gguf, and another model in other-F16.gguf."""
    folder = tmp_path_factory.mktemp("models")
    source = write_tiny_model(folder / "tiny-F16.gguf")
    shutil.copy(quantize(source, "Q8_0", folder / "made"), folder / "tiny-Q8_0.gguf")
    write_tiny_model(folder / "other-F16.gguf", width=128)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def models(
    folder: Path, *names: str, quants: str = "", heard: Heard | None = None, **settings: Any
) -> tuple[PlannedModel, ...]:
    paths = tuple(str(folder / name) if name.endswith(".gguf") else name for name in names)
    config = RunConfig(models=paths, quants=tuple(quants.split()), **settings)
    return models_for(config, heard or Heard())


def labels(found: tuple[PlannedModel, ...]) -> list[tuple[str, str]]:
    return [(model.name, model.quant) for model in found]


def test_files_of_one_model_are_one_ladder(files: Path) -> None:
    found = models(files, "tiny-F16.gguf", "tiny-Q8_0.gguf")
    assert labels(found) == [("tiny", "F16"), ("tiny", "Q8_0")]
    assert found[0].gguf_bytes > found[1].gguf_bytes
    assert found[0].template == found[1].template
    assert {model.format_id for model in found} == {"hermes"}
    assert {model.n_ctx_train for model in found} == {2048}


def test_files_of_different_models_are_told_apart(files: Path) -> None:
    heard = Heard()
    found = models(files, "tiny-F16.gguf", "other-F16.gguf", heard=heard)
    assert labels(found) == [("tiny", "F16"), ("other", "F16")]
    assert "different models, so they are measured apart" in heard.said[0]


def test_missing_levels_are_made_from_the_source(files: Path) -> None:
    heard = Heard()
    found = models(files, "tiny-F16.gguf", quants="F16 Q8_0 q4_0", heard=heard)
    assert labels(found) == [("tiny", "F16"), ("tiny", "Q8_0"), ("tiny", "Q4_0")]
    assert Path(found[0].path) == files / "tiny-F16.gguf"
    assert heard.labels[:2] == ["Making tiny Q8_0", "Making tiny Q4_0"]


def test_a_level_that_was_named_is_not_made(files: Path) -> None:
    heard = Heard()
    found = models(files, "tiny-Q8_0.gguf", "tiny-F16.gguf", quants="F16 Q8_0", heard=heard)
    assert sorted(Path(model.path).name for model in found) == ["tiny-F16.gguf", "tiny-Q8_0.gguf"]
    assert not [label for label in heard.labels if label.startswith("Making")]


def test_a_quantized_file_is_no_source(files: Path) -> None:
    with pytest.raises(ToolgaugeError, match="is quantized already"):
        models(files, "tiny-Q8_0.gguf", quants="Q4_0")


def test_an_unknown_level_is_named_with_those_there_are(files: Path) -> None:
    with pytest.raises(ToolgaugeError, match=r"no quantization level 'Q9_X'.*Q8_0"):
        models(files, "tiny-F16.gguf", quants="Q9_X")


def test_a_file_that_is_named_twice_is_measured_once(files: Path) -> None:
    assert len(models(files, "tiny-F16.gguf", "tiny-F16.gguf")) == 1


def test_files_that_say_how_else_they_were_made_keep_the_rest_of_their_names(files: Path, tmp_path: Path) -> None:
    """Q2_K and UD-Q2_K_XL are both Q2_K inside, and each is a level of its own."""
    other = write_tiny_model(tmp_path / "other.gguf", seed=1)
    shutil.copy(quantize(other, "Q8_0", tmp_path / "made"), tmp_path / "tiny-UD-Q8_K_XL.gguf")
    for name in ("tiny-F16.gguf", "tiny-Q8_0.gguf"):
        shutil.copy(files / name, tmp_path / name)
    heard = Heard()
    found = models(tmp_path, "tiny-F16.gguf", "tiny-Q8_0.gguf", "tiny-UD-Q8_K_XL.gguf", heard=heard)
    assert labels(found) == [("tiny", "F16"), ("tiny", "Q8_0 (tiny-Q8_0)"), ("tiny", "Q8_0 (tiny-UD-Q8_K_XL)")]
    assert heard.said == []


def model_at(path: Path, **differences: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tiny_model(path, **differences)


OTHER_TEMPLATE = "{{ messages[0].content }}"


@pytest.mark.parametrize(
    ("difference", "reason"),
    [
        ({"name": "Hammer 2.1"}, "general.name: 'tiny' / 'Hammer 2.1'"),
        ({"chat_template": OTHER_TEMPLATE}, "tokenizer.chat_template: "),
        ({"chat_template": None}, "/ absent"),
    ],
)
def test_a_fine_tune_is_no_level_of_its_base(
    files: Path, tmp_path: Path, difference: dict[str, str | None], reason: str
) -> None:
    """It has the base's shapes and vocabulary: its row stood in the base's ladder, and its name nowhere."""
    made = quantize(model_at(tmp_path / "hammer-F16.gguf", seed=1, **difference), "Q8_0", tmp_path / "made")
    tuned = shutil.copy(made, tmp_path / "hammer-Q8_0.gguf")
    (tmp_path / "mine.jinja").write_text(OTHER_TEMPLATE)
    # without any template a file cannot be measured
    is_bare = difference.get("chat_template", "") is None
    settings: dict[str, Any] = {"chat_template": str(tmp_path / "mine.jinja")} if is_bare else {}
    heard = Heard()
    found = models(files, "tiny-F16.gguf", str(tuned), heard=heard, **settings)
    assert labels(found) == [("tiny", "F16"), ("hammer", "Q8_0")]
    assert heard.said[0].startswith("tiny-F16.gguf and hammer-Q8_0.gguf are taken for different models, so they")
    assert reason in heard.said[0]
    assert heard.said[1] == "If they are one model, give their files one name, in which the level alone differs."
    assert [model.doubt for model in found] == ["", ""]
    made_levels = models(files, "tiny-F16.gguf", str(tuned), quants="Q8_0", **settings)
    assert [model.path == str(tuned) for model in made_levels] == [False, True], "the base's level is made of the base"


def test_files_of_one_name_are_a_ladder_and_what_differs_goes_with_the_run(files: Path, tmp_path: Path) -> None:
    other = model_at(tmp_path / "other.gguf", name="another", chat_template=OTHER_TEMPLATE)
    for level in ("Q8_0", "Q4_0"):
        shutil.copy(quantize(other, level, tmp_path / "made"), tmp_path / f"Tiny.{level}.gguf")
    paths = (files / "tiny-F16.gguf", tmp_path / "Tiny.Q8_0.gguf", tmp_path / "Tiny.Q4_0.gguf")
    config = RunConfig(models=tuple(map(str, paths)), suites=("quick",), format="hermes", limit=1)
    heard = Heard()
    plan = plan_for(config, heard)
    assert [(model.name, model.quant) for model in plan.models] == [("tiny", "F16"), ("tiny", "Q8_0"), ("tiny", "Q4_0")]
    assert heard.said == [], "it is a warning of the run"
    (finding,) = plan.findings
    assert finding.name == "taken-for-one-model"
    assert finding.message.startswith(
        "tiny Q8_0, Q4_0: taken for one model with the others of that name, though they differ from tiny-F16.gguf in"
        " general.name: 'tiny' / 'another'; tokenizer.chat_template: "
    )
    with Store.open(tmp_path / "results.db") as store:
        run_id = writer.begin_run(store, plan, prepare.provenance([], plan.findings))
        report = build(store, store.run(str(run_id)))
    assert f"Known before the run: {finding.message}." in report.warnings


def test_a_name_that_is_spelled_otherwise_is_the_same_name(files: Path, tmp_path: Path) -> None:
    other = model_at(tmp_path / "other.gguf", name="TINY_")
    again = shutil.copy(quantize(other, "Q8_0", tmp_path / "made"), tmp_path / "publisher_tiny-Q8_0.gguf")
    found = models(files, "tiny-F16.gguf", str(again))
    assert labels(found) == [("tiny", "F16"), ("tiny", "Q8_0")]
    assert found[1].doubt.startswith("from tiny-F16.gguf in the file's name: 'tiny' / 'publisher_tiny'; general.name: ")


def test_two_files_of_one_level_are_no_ladder(files: Path, tmp_path: Path) -> None:
    """Retrained without a new name, say; each keeps the levels that are called like it, whatever the order."""
    again = model_at(tmp_path / "again-F16.gguf", seed=1)
    shutil.copy(quantize(again, "Q8_0", tmp_path / "made"), tmp_path / "again-Q8_0.gguf")
    heard = Heard()
    named = ("again-Q8_0.gguf", str(files / "tiny-F16.gguf"), "again-F16.gguf", str(files / "tiny-Q8_0.gguf"))
    found = models(tmp_path, *named, heard=heard)
    assert labels(found) == [("again", "Q8_0"), ("tiny", "F16"), ("again", "F16"), ("tiny", "Q8_0")]
    assert heard.said == [
        "again-Q8_0.gguf and tiny-F16.gguf are taken for different models, so they are measured apart:"
        " Q8_0 is there twice, and a ladder has each level once"
    ]


def test_ladders_of_one_name_are_told_apart_by_their_folders(files: Path, tmp_path: Path) -> None:
    for publisher in ("one", "two"):
        (tmp_path / publisher).mkdir()
        shutil.copy(model_at(tmp_path / "made.gguf", seed=len(publisher)), tmp_path / publisher / "tiny-F16.gguf")
        shutil.copy(files / "tiny-Q8_0.gguf", tmp_path / publisher / "tiny-Q8_0.gguf")
    heard = Heard()
    named = ("one/tiny-F16.gguf", "two/tiny-Q8_0.gguf", "one/tiny-Q8_0.gguf")
    assert labels(models(tmp_path, *named, heard=heard)) == [
        ("one/tiny", "F16"),
        ("two/tiny", "Q8_0"),
        ("one/tiny", "Q8_0"),
    ]
    assert f"{tmp_path}/one/tiny-F16.gguf and {tmp_path}/two/tiny-Q8_0.gguf are taken for different" in heard.said[0]


def test_different_models_of_one_file_name_are_called_by_their_folders(tmp_path: Path) -> None:
    """Converters write ggml-model-f16.gguf; two of them were one model at two levels, or the same level twice."""
    model_at(tmp_path / "llama/ggml-model-f16.gguf")
    model_at(tmp_path / "qwen/ggml-model-f16.gguf", width=128)
    heard = Heard()
    found = models(tmp_path, "llama/ggml-model-f16.gguf", "qwen/ggml-model-f16.gguf", quants="F16 Q8_0", heard=heard)
    named = [(name, quant) for name in ("llama/ggml-model", "qwen/ggml-model") for quant in ("F16", "Q8_0")]
    assert labels(found) == named
    assert found[1].gguf_bytes < found[3].gguf_bytes, "each level is made of its own model"
    assert f"{tmp_path}/llama/ggml-model-f16.gguf and {tmp_path}/qwen/" in heard.said[0]


def test_different_models_of_one_file_name_and_folder_name_are_numbered(tmp_path: Path) -> None:
    model_at(tmp_path / "a/x/m-F16.gguf")
    model_at(tmp_path / "b/x/m-F16.gguf", width=128)
    assert labels(models(tmp_path, "a/x/m-F16.gguf", "b/x/m-F16.gguf")) == [("x/m", "F16"), ("x/m 2", "F16")]


def test_a_file_called_like_a_model_of_the_registry_is_another_model(tmp_path: Path) -> None:
    model_at(tmp_path / "mine/nano-F16.gguf")
    assert [model.name for model in models(tmp_path, "nano", "mine/nano-F16.gguf", quants="F16")] == [
        "nano",
        "mine/nano",
    ]


def test_two_files_of_one_level_and_name_are_models_called_by_their_folders(tmp_path: Path) -> None:
    """A model and its fine-tune, say."""
    model_at(tmp_path / "base/tiny-F16.gguf")
    model_at(tmp_path / "tuned/tiny-F16.gguf", seed=1)
    found = models(tmp_path, "base/tiny-F16.gguf", "tuned/tiny-F16.gguf")
    assert labels(found) == [("base/tiny", "F16"), ("tuned/tiny", "F16")]


def test_each_of_two_files_of_one_level_is_measured_and_has_its_own_levels(tmp_path: Path) -> None:
    """With `--quants F16` the fine-tune was dropped: the level was looked up among both, and the base found."""
    model_at(tmp_path / "base/tiny-F16.gguf")
    model_at(tmp_path / "tuned/tiny-F16.gguf", seed=1)
    found = models(tmp_path, "base/tiny-F16.gguf", "tuned/tiny-F16.gguf", quants="F16 Q8_0")
    assert len({model.gguf_sha256 for model in found}) == len(found) == 4
    assert [model.path for model in found if "made" not in model.path and "cache" not in model.path] == [
        str(tmp_path / name) for name in ("base/tiny-F16.gguf", "tuned/tiny-F16.gguf")
    ]


def test_a_template_of_ones_own_takes_the_place_of_the_files(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("<tool_call>{{ messages[0].content }} arguments")
    config = RunConfig(models=(str(files / "tiny-F16.gguf"),), chat_template=str(path))
    (found,) = models_for(config, Heard())
    assert found.template == path.read_text()


def test_a_format_of_ones_own_takes_the_place_of_the_detected_one(files: Path) -> None:
    path = str(files / "tiny-F16.gguf")
    assert models_for(RunConfig(models=(path,)), Heard())[0].format_id == "hermes"
    config = RunConfig(models=(path, "fake:silent"), format="qwen_xml")
    assert {model.format_id for model in models_for(config, Heard())} == {"qwen_xml"}


@pytest.mark.parametrize(
    ("name", "problem"), [("nope", "there is no format 'nope'"), ("json", "not a model's own format")]
)
def test_a_format_that_is_no_models_own_is_refused_at_once(name: str, problem: str) -> None:
    with pytest.raises(ToolgaugeError, match=problem):
        models_for(RunConfig(models=("nobody/would-look-for-it",), format=name), Heard())


def test_a_plan_has_suites_and_models(files: Path) -> None:
    config = RunConfig(models=("fake:perfect", str(files / "tiny-F16.gguf")), suites=("quick",), limit=5)
    plan = plan_for(config, Heard())
    assert [model.name for model in plan.models] == ["fake:perfect", "tiny"]
    assert plan.n_items == 2 * 4 * 5


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B"),
        ("model.IQ3_XXS.gguf", "model"),
        ("Some-Model-UD-Q4_K_XL.gguf", "Some-Model"),
        ("big-BF16-00001-of-00003.gguf", "big"),
        ("tiny-Q2_K-pure.gguf", "tiny"),
        ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
        ("F16.gguf", "F16"),
        ("Quill-7B.gguf", "Quill-7B"),
    ],
)
def test_a_model_is_called_by_its_file_without_the_level(name: str, stem: str) -> None:
    assert stem_of(Path(name)) == stem


def test_a_download_is_asked_for_with_its_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(AskingHub, "_n_bytes", lambda *args: 5 << 30)
    monkeypatch.setattr(Hub, "fetch", lambda *args: Path("there"))
    heard = Heard()
    assert AskingHub(cache=tmp_path, person=heard).fetch("org/repo", "m-Q4_K_M.gguf", "main") == Path("there")
    assert heard.asked == ["m-Q4_K_M.gguf (5.00 GiB) from org/repo"]
    with pytest.raises(NotWanted, match="is not on this machine"):
        AskingHub(cache=tmp_path, person=Heard(yes=False)).fetch("org/repo", "m-Q4_K_M.gguf", "main")


def test_what_is_in_the_cache_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: str(tmp_path / "m.gguf"))
    monkeypatch.setattr(Hub, "fetch", lambda *args: Path("there"))
    heard = Heard(yes=False)
    assert AskingHub(cache=tmp_path, person=heard).fetch("org/repo", "m.gguf", "main") == Path("there")
    assert heard.asked == []


def test_provenance_names_the_machine_and_what_computes() -> None:
    found = prepare.provenance(["toolgauge", "run"])
    assert found.argv == ("toolgauge", "run")
    assert {"llama-cpp-python", "llguidance", "python"} <= set(found.versions)
    assert found.host["memory_bytes"] > 0
