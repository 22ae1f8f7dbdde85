"""MODEL arguments: paths, names, and repositories of a stand-in for the Hub that runs on this machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.models import registry as models_toml
from bench.models.registry import Registry, RegistryError
from bench.models.resolve import Hub, ModelNotFound, RepoFile, at_hand, models_of, quant_of, resolve
from tests.bench.hub import REPOS, REVISION, content_of, serving


@pytest.fixture
def downloads() -> list[str]:
    return []


@pytest.fixture
def hub(tmp_path: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    with serving(downloads) as address:
        yield Hub(address, tmp_path / "cache")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    row = """
[[model]]
name = "tiny"
title = "Tiny"
repo = "someone/{}"
files = "Tiny-{{quant}}.gguf"
quants = ["Q4_K_M", "Q2_K"]
default_quant = "Q4_K_M"
format = "hermes"
n_ctx = 1
license = "MIT"
verified = false
sources = {{ repo = "a", files = "b", format = "c", n_ctx = "d", license = "e" }}
"""
    path = tmp_path / "models.toml"
    twins = row.format("Twins-GGUF").replace('"tiny"', '"twins"')
    path.write_text(row.format("Tiny-GGUF") + twins)
    return models_toml.load(path)


# The Hub


@pytest.mark.parametrize(
    ("argument", "name", "quant"),
    [
        ("someone/Tiny-GGUF", "Tiny-Q4_K_M.gguf", "Q4_K_M"),
        ("someone/Tiny-GGUF:Q8_0", "Tiny-Q8_0.gguf", "Q8_0"),
        ("someone/Tiny-GGUF:q8_0", "Tiny-Q8_0.gguf", "Q8_0"),
        ("hf.co/someone/Tiny-GGUF:Q8_0", "Tiny-Q8_0.gguf", "Q8_0"),
        ("https://huggingface.co/someone/Tiny-GGUF:UD-Q4_K_XL", "tiny-ud-q4_k_xl.gguf", "UD-Q4_K_XL"),
        ("someone/Tiny-GGUF:tiny-ud-q4_k_xl.gguf", "tiny-ud-q4_k_xl.gguf", "UD-Q4_K_XL"),
        ("someone/One-GGUF", "one.gguf", None),
        ("someone/Twins-GGUF:Tiny-chat-Q4_K_M.gguf", "Tiny-chat-Q4_K_M.gguf", "Q4_K_M"),
    ],
)
def test_a_repository_is_downloaded(hub: Hub, argument: str, name: str, quant: str | None) -> None:
    (found,) = resolve(argument, hub=hub)
    assert (found.path.name, found.quant, found.revision) == (name, quant, REVISION)
    assert found.repo is not None
    assert found.path.read_bytes() == content_of(found.repo, name)
    assert found.name == found.repo


def test_what_is_downloaded_is_not_downloaded_again(hub: Hub, downloads: list[str]) -> None:
    first, second = (resolve("someone/Tiny-GGUF:Q8_0", hub=hub) for _ in range(2))
    assert first == second
    assert downloads == ["Tiny-Q8_0.gguf"]


def test_all_parts_of_a_split_come_and_the_first_is_named(hub: Hub) -> None:
    (found,) = resolve("someone/Tiny-GGUF:BF16", hub=hub)
    assert found.path.name == "Tiny-BF16-00001-of-00002.gguf"
    assert found.path.with_name("Tiny-BF16-00002-of-00002.gguf").is_file()


def test_several_quants_and_all_of_them(hub: Hub) -> None:
    found = resolve("someone/Tiny-GGUF", ["Q8_0", "q4_k_m", "Q8_0"], hub=hub)
    assert [each.quant for each in found] == ["Q8_0", "Q4_K_M"]
    everything = resolve("someone/Tiny-GGUF:*", hub=hub)
    assert {each.quant for each in everything} == {"Q4_K_M", "Q8_0", "UD-Q4_K_XL", "BF16"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("someone/Tiny-GGUF:Q2_K", r"^someone/Tiny-GGUF has no Q2_K; it has BF16, Q4_K_M, Q8_0, UD-Q4_K_XL$"),
        ("someone/Tiny-GGUF:gone.gguf", r"has no gone\.gguf; it has BF16"),
        ("someone/Twins-GGUF:Q4_K_M", r"several files for Q4_K_M: Tiny-Q4_K_M\.gguf, Tiny-chat-Q4_K_M\.gguf; name one"),
        ("someone/Weights", "has no GGUF files"),
        ("someone/Missing-GGUF", "no repository someone/Missing-GGUF, or it is private"),
        ("someone/Gated-GGUF", "accept its terms.*HF_TOKEN"),
        ("someone/Broken-GGUF", "cannot be had from the Hub"),
        ("someone/Tiny GGUF", "is no repository of the Hub; write org/repo"),
        ("someone/a--b:Q4_K_M", "is no name of a repository"),
    ],
)
def test_what_a_repository_does_not_have_is_said_in_one_sentence(hub: Hub, argument: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message) as error:
        resolve(argument, hub=hub)
    assert "\n" not in str(error.value)


def test_an_unreachable_hub_says_what_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ModelNotFound, match=r"cannot be had from the Hub .*HF_HUB_OFFLINE=1"):
        resolve("someone/Tiny-GGUF", hub=Hub("http://127.0.0.1:9", tmp_path))


def test_a_full_disk_is_said_plainly(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(ModelNotFound, match="the disk is full while downloading someone/Tiny-GGUF"):
        resolve("someone/Tiny-GGUF", hub=hub)


def test_a_bug_is_not_dressed_up_as_a_missing_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", wrong)
    with pytest.raises(KeyError):
        resolve("someone/Tiny-GGUF", hub=hub)


def test_offline_uses_what_was_downloaded_and_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    online = resolve("someone/Tiny-GGUF:Q8_0", hub=hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    nobody = Hub("http://127.0.0.1:9", hub.cache)
    assert resolve("someone/Tiny-GGUF:Q8_0", hub=nobody) == online
    with pytest.raises(ModelNotFound, match="has no Q4_K_M; it has Q8_0"):
        resolve("someone/Tiny-GGUF:Q4_K_M", hub=nobody)
    with pytest.raises(ModelNotFound, match=r"nothing of someone/One-GGUF has been downloaded.*HF_HUB_OFFLINE"):
        resolve("someone/One-GGUF", hub=nobody)


# Names of the registry


def test_a_model_at_hand_is_one_that_was_downloaded_at_any_level(hub: Hub, downloads: list[str]) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing of someone/Tiny-GGUF has been downloaded.*name a local file"):
        at_hand("someone/Tiny-GGUF", cache=hub.cache)
    (fetched,) = resolve("someone/Tiny-GGUF:Q8_0", hub=hub)
    n_downloads = len(downloads)
    for argument in ("someone/Tiny-GGUF", "someone/Tiny-GGUF:Q8_0", "hf.co/someone/Tiny-GGUF"):
        assert at_hand(argument, cache=hub.cache).path == fetched.path
    with pytest.raises(ModelNotFound, match="someone/Tiny-GGUF has no Q4_K_M; it has Q8_0"):
        at_hand("someone/Tiny-GGUF:Q4_K_M", cache=hub.cache)
    assert len(downloads) == n_downloads
    (other,) = resolve("someone/Tiny-GGUF:Q4_K_M", hub=hub)
    assert at_hand("someone/Tiny-GGUF", cache=hub.cache, levels=("Q8_0",)).path == fetched.path
    assert at_hand("someone/Tiny-GGUF", cache=hub.cache, levels=("Q4_K_M",)).path == other.path


def test_a_registry_name_is_its_repository(hub: Hub, registry: Registry) -> None:
    (found,) = resolve("tiny", hub=hub, registry=registry)
    assert (found.name, found.quant, found.path.name) == ("tiny", "Q4_K_M", "Tiny-Q4_K_M.gguf")
    assert found.row is registry.get("tiny")
    (other,) = resolve("Tiny:q8_0", hub=hub, registry=registry)
    assert other.quant == "Q8_0"
    with pytest.raises(ModelNotFound, match="has no Q2_K"):
        resolve("tiny", ["Q2_K"], hub=hub, registry=registry)


def test_the_registry_tells_twins_apart(hub: Hub, registry: Registry) -> None:
    (found,) = resolve("twins", hub=hub, registry=registry)
    assert found.path.name == "Tiny-Q4_K_M.gguf"


def test_an_unknown_name_lists_the_known_ones(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no model 'tinny'; did you mean tiny"):
        resolve("tinny", registry=registry)


def test_the_bundled_model_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_toml, "ROOT", tmp_path)
    nobody = Hub("http://127.0.0.1:9", tmp_path)
    shipped = models_toml.load(Path(__file__).parents[3] / "models.toml")
    with pytest.raises(ModelNotFound, match="is missing; install toolgauge again"):
        resolve("nano", hub=nobody, registry=shipped)
    file = tmp_path / "bench" / "nano" / "nano-f16.gguf"
    file.parent.mkdir(parents=True)
    file.touch()
    found = resolve("nano", ["F16", "Q4_K_M"], hub=nobody, registry=shipped)
    assert [(each.path, each.quant) for each in found] == [(file, "F16"), (file, "Q4_K_M")]
    assert resolve("nano", hub=nobody, registry=shipped)[0].quant == "F16"


# Paths


@pytest.mark.parametrize("argument", ["model.gguf", "./model", "/x/model-Q8_0.gguf", "~/m.gguf", "sub/folder/m.gguf"])
def test_a_path_stays_a_path(argument: str) -> None:
    (found,) = resolve(argument)
    assert found.path == Path(argument).expanduser()
    assert (found.quant, found.repo, found.row) == (None, None, None)


def test_an_existing_path_wins_over_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "One-GGUF").touch()
    assert resolve("someone/One-GGUF", hub=hub)[0].path == Path("someone/One-GGUF")
    assert resolve("someone/One-GGUF", hub=hub, from_hub=True)[0].path.name == "one.gguf"


def test_other_levels_of_a_local_file_are_asked_of_it() -> None:
    found = resolve("model-F16.gguf", ["Q8_0", "Q4_K_M"])
    assert [(each.path.name, each.quant) for each in found] == [
        ("model-F16.gguf", "Q8_0"),
        ("model-F16.gguf", "Q4_K_M"),
    ]


def test_a_quant_is_given_once() -> None:
    with pytest.raises(ModelNotFound, match="names a quant and --quants does too"):
        resolve("someone/Tiny-GGUF:Q8_0", ["Q4_K_M"])


# Names of files


@pytest.mark.parametrize(
    ("stem", "quant"),
    [
        ("Qwen3-8B-Q4_K_M", "Q4_K_M"),
        ("hammer2.1-7b-q5_k_m", "Q5_K_M"),
        ("Hammer2.1-7b.Q4_K_M", "Q4_K_M"),
        ("Model.i1-IQ3_XXS", "IQ3_XXS"),
        ("Qwen3.5-9B-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("gpt-oss-20b-mxfp4", "MXFP4"),
        ("model-mxfp4_moe", "MXFP4_MOE"),
        ("nano-f16", "F16"),
        ("BF16/Model-BF16", "BF16"),
        ("Q8_0", "Q8_0"),
        ("model-TQ1_0", "TQ1_0"),
        ("model-IQ4_NL", "IQ4_NL"),
        ("Qwen3-8B", None),
        ("FAQ8", None),
        ("Q4_K_M-notes", None),
    ],
)
def test_the_quant_in_a_files_name(stem: str, quant: str | None) -> None:
    assert quant_of(stem) == quant


def test_the_models_of_a_listing() -> None:
    assert models_of(REPOS["someone/Tiny-GGUF"]) == (
        RepoFile("Q4_K_M", ("Tiny-Q4_K_M.gguf",)),
        RepoFile("Q8_0", ("Tiny-Q8_0.gguf",)),
        RepoFile("UD-Q4_K_XL", ("tiny-ud-q4_k_xl.gguf",)),
        RepoFile("BF16", ("BF16/Tiny-BF16-00001-of-00002.gguf", "BF16/Tiny-BF16-00002-of-00002.gguf")),
    )


def test_a_folder_does_not_hide_the_model_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`toolgauge run nano` in a folder that had a `nano` folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("nano", "weights"):
        (tmp_path / name).mkdir()
    assert resolve("nano")[0].path.name == "nano-f16.gguf"
    assert resolve("./nano")[0].path == Path("nano")  # a path for certain; loading says that it is a folder
    assert resolve("weights")[0].path == Path("weights")
