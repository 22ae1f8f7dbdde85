"""MODEL arguments to predictions, machines to budgets, and predictions beside what runs measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.fit import predict as fit
from bench.fit.measured import comparisons
from bench.fit.predict import Budget, Candidate, budget_here, candidates, parse_size, rows, with_slots
from bench.models.resolve import Hub, ModelNotFound
from bench.results.store import Store
from engine.gguf_file import read_gguf
from engine.llama.params import Device, LoadParams
from engine.memory import Settings
from engine.memory.cache import room
from engine.meter import Gpu, Gpus
from engine.quantize import quantize
from engine.shapes.mix import TYPES
from grammars.errors import ToolgaugeError
from tests.bench.hub import REVISION
from tests.bench.measured import TWO_CARDS, measured_run, readings
from tests.bench.range_hub import serving_parts
from tests.engine.memory.sizes import SHAPES, write_hollow
from tests.engine.shapes.every import TINY
from tests.engine.shapes.test_mix import Effective, chosen_by_llama_cpp, deep
from tests.tiny_gguf import write_tiny_model

GIB, MIB = 1 << 30, 1 << 20


def card(*sizes: float, reserve: int = 0) -> Budget:
    return Budget(tuple(int(size * GIB) for size in sizes), None, reserve, "as given")


# Sizes


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        *(("16GiB", 16 * GIB), ("16G", 16 * GIB), ("16 gb", 16 * GIB), ("1.5GiB", 3 * GIB // 2)),
        *(("512MiB", 512 * MIB), ("17179869184", 16 * GIB), ("100k", 102_400), ("1TiB", 1024 * GIB)),
    ],
)
def test_sizes_as_people_write_them(text: str, n_bytes: int) -> None:
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "-4GiB", "0", "GiB", "infGiB", "nan", "4XiB", "1e308T", "1e308"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(ToolgaugeError, match="is no size"):
        parse_size(text)


def test_nothing_at_all_may_be_kept_free() -> None:
    assert parse_size("0", least=0) == parse_size("0GiB", least=0) == 0
    with pytest.raises(ToolgaugeError, match="is no size"):
        parse_size("-1", least=0)


@pytest.mark.parametrize("text", ["24", "512", "1.5", "4096", " 24 "])
@pytest.mark.parametrize("least", [0, 1])
def test_a_small_number_without_a_unit_is_not_taken_as_bytes(text: str, least: int) -> None:
    """`--vram 24` was a card of 24 bytes, on which nothing fits; `--reserve 512` kept next to nothing free."""
    with pytest.raises(ToolgaugeError, match=f"without a unit it is bytes; write {text.strip()}GiB or"):
        parse_size(text, least=least)


# What there is


def test_given_memory_goes_before_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "gpus", lambda: Gpus((Gpu(0, "Card", 24 * GIB, 20 * GIB),)))
    assert budget_here([8 * GIB], 1).cards == (8 * GIB,)
    found = budget_here([], 1)
    assert found.cards == (20 * GIB,)  # what is free, not what the card has
    assert "free on Card" in found.sentence


def test_cards_that_nvml_does_not_know_are_llama_cpps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "gpus", lambda: Gpus(problem="no NVML"))
    found = [Device("CPU", "Processor", "cpu", 9, 9), Device("MTL0", "Apple M4", "gpu", 12 * GIB, 16 * GIB)]
    monkeypatch.setattr(fit, "devices", lambda: found)
    assert budget_here([], 1).cards == (12 * GIB,)
    monkeypatch.setattr(fit, "devices", lambda: found[:1])
    alone = budget_here([], 7)
    assert (alone.cards, alone.reserve_bytes) == ((), 7)
    assert alone.ram_bytes
    assert "no GPU here" in alone.sentence


def test_a_processors_own_gpu_counts_only_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop with a Radeon: llama.cpp leaves the integrated one alone, and both were said to be the limit."""
    monkeypatch.setattr(fit, "gpus", lambda: Gpus(problem="no NVML"))
    own = Device("Vulkan1", "AMD Radeon 780M", "igpu", 24 * GIB, 24 * GIB)
    found = [Device("Vulkan0", "AMD Radeon RX 7600", "gpu", 7 * GIB, 8 * GIB), own]
    monkeypatch.setattr(fit, "devices", lambda: found)
    assert budget_here([], 1).cards == (7 * GIB,)
    monkeypatch.setattr(fit, "devices", lambda: [own])
    assert budget_here([], 1).cards == (24 * GIB,)


def test_a_gpu_that_does_not_tell_its_memory_is_no_card_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Adreno through OpenCL, for which the limit was 0 B."""
    monkeypatch.setattr(fit, "gpus", lambda: Gpus(problem="no NVML"))
    monkeypatch.setattr(fit, "devices", lambda: [Device("GPUOpenCL", "Adreno", "gpu", 0, 0)])
    found = budget_here([], 1)
    assert (found.cards, found.ram_bytes is not None) == ((), True)
    assert "The GPU here (Adreno) does not say how much memory it has" in found.sentence


# What is asked about


@pytest.mark.parametrize("name", ["llama-3.1-8b", "Llama-3.1-8B:q8_0", "qwen3-30b-a3b"])
def test_a_name_with_a_shape_needs_neither_file_nor_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_args: object, **_kwargs: object) -> object:
        raise AssertionError("nothing may be asked of the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    (found,) = candidates(name)
    assert found.origin == "shape"
    assert found.quant == ("Q8_0" if ":" in name else "Q4_K_M")


def test_a_file_at_its_own_level_and_at_others(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny-F16.gguf", width=256)
    own, other = candidates(str(path), ["F16", "q4_k_m"])
    assert (own.origin, own.quant, own.name) == ("file", "F16", "tiny-F16")
    assert (other.origin, other.quant) == ("rules", "Q4_K_M")
    made = read_gguf(quantize(path, "Q4_K_M", tmp_path))
    settings = Settings(512, devices=())
    predicted = other.predictor.estimate(settings).host.weights_bytes
    assert predicted == pytest.approx(sum(tensor.n_bytes or 0 for tensor in made.tensors), rel=0.001)


@pytest.mark.parametrize("level_name", ["Q4_K_M", "Q3_K_M", "Q8_0"])
def test_other_levels_of_a_file_are_those_that_llama_cpp_would_make(level_name: str, tmp_path: Path) -> None:
    """Of an F32 file: what llama.cpp does not quantize stays F32. Of a looped model: it counts layers as often."""
    effective = Effective.model_validate(deep(TINY["gemma4"], tie_word_embeddings=True).model_dump())
    for shape in (effective, SHAPES["nanbeige"].changed({"num_hidden_layers": 8})):
        path = write_hollow(tmp_path / f"{shape.arch}.gguf", shape, "F32")
        (found,) = candidates(str(path), [level_name])
        assert found.origin == "rules"
        numbers = {number: name for name, (_values, _bytes, number) in TYPES.items()}
        types = {tensor.name: numbers[tensor.type_id] for tensor in found.predictor.tensors}
        assert types == chosen_by_llama_cpp(path, level_name), shape.arch


def test_a_level_is_the_files_own_under_any_of_its_names(tmp_path: Path) -> None:
    """gpt-oss: its publishers say MXFP4, the file's header MXFP4_MOE."""
    path = str(write_hollow(tmp_path / "oss.gguf", SHAPES["gpt-oss"], "MXFP4_MOE"))
    for name in ("MXFP4", "mxfp4_moe"):
        (found,) = candidates(path, [name])
        assert (found.origin, found.quant) == ("file", "MXFP4_MOE")


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ToolgaugeError, match="no model 'lama'"):
        candidates("lama")
    with pytest.raises(ModelNotFound, match="give it in one place"):
        candidates("llama-3.1-8b:Q8_0", ["Q4_K_M"])
    with pytest.raises(ToolgaugeError, match="no file"):
        candidates(str(tmp_path / "none.gguf"))


# A repository, of which only headers are read


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hub, list[int]]]:
    """`someone/Shape-GGUF` with a large file, and the numbers of bytes that were sent of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    path = write_hollow(tmp_path / "Shape-Q8_0.gguf", SHAPES["qwen3moe"], "Q8_0")
    sent: list[int] = []
    with serving_parts({"someone/Shape-GGUF": {"Shape-Q8_0.gguf": path}}, REVISION, sent) as address:
        yield Hub(address, tmp_path / "cache"), sent


def test_a_repository_is_read_by_its_header(repository: tuple[Hub, list[int]], tmp_path: Path) -> None:
    hub, sent = repository
    (found,) = candidates("someone/Shape-GGUF", hub=hub)
    (local,) = candidates(str(tmp_path / "Shape-Q8_0.gguf"))
    settings = Settings(4096)
    assert found.predictor.estimate(settings) == local.predictor.estimate(settings)
    assert (found.quant, found.origin, found.n_file_bytes) == ("Q8_0", "header", local.n_file_bytes)
    assert sum(sent) <= 4 * MIB < (local.n_file_bytes or 0)
    with pytest.raises(ModelNotFound, match="has no Q2_K"):
        candidates("someone/Shape-GGUF:Q2_K", hub=hub)


def test_a_long_header_is_read_on(repository: tuple[Hub, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    hub, sent = repository
    monkeypatch.setattr("bench.models.remote._FIRST_BYTES", 1000)
    (found,) = candidates("someone/Shape-GGUF", hub=hub)
    assert found.predictor.layout.arch == "qwen3moe"
    assert sent[:3] == [1000, 1000, 2000]  # twice as much each time, and nothing twice
    monkeypatch.setattr("bench.models.remote._MOST_BYTES", 2000)
    with pytest.raises(ToolgaugeError, match="damaged"):
        candidates("someone/Shape-GGUF", hub=hub)


def test_a_server_without_parts_is_not_read_whole(
    repository: tuple[Hub, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _sent = repository
    monkeypatch.setattr("tests.bench.range_hub.WITH_PARTS", False)
    with pytest.raises(ToolgaugeError, match="cannot be read in part"):
        candidates("someone/Shape-GGUF", hub=hub)


# Limits


def test_the_limits_are_where_one_more_does_not_fit() -> None:
    (candidate,) = candidates("qwen3-8b:Q4_K_M")
    budget = card(8, reserve=512 * MIB)
    (row,) = rows(candidate, [Settings(8192)], budget)
    assert row.fits
    predict = candidate.predictor.estimate

    def fits(**changes: int) -> bool:
        return budget.holds(predict(replace(row.settings, **changes)))

    assert fits(n_ctx=row.longest_ctx)
    assert not fits(n_ctx=row.longest_ctx + 256)
    assert budget.holds(predict(with_slots(row.settings, row.most_slots)))
    assert not budget.holds(predict(with_slots(row.settings, row.most_slots + 1)))
    assert row.most_layers == 37  # 36 and the output


def test_what_does_not_fit_says_how_many_layers_would() -> None:
    (candidate,) = candidates("qwen3-8b:Q8_0")
    (row,) = rows(candidate, [Settings(8192)], card(6))
    assert (row.fits, row.longest_ctx, row.most_slots) == (False, 0, 0)
    assert row.most_layers is not None
    layers = Settings(8192, n_gpu_layers=row.most_layers)
    assert 0 < row.most_layers < 37
    assert card(6).holds(candidate.predictor.estimate(layers))
    assert not card(6).holds(candidate.predictor.estimate(replace(layers, n_gpu_layers=row.most_layers + 1)))


def test_each_of_several_cards_has_to_hold_its_part() -> None:
    (candidate,) = candidates("gemma-4-31b:Q4_K_M")
    two = card(12, 12)
    (row,) = rows(candidate, [Settings(4096, devices=two.shares)], two)
    assert row.fits
    assert all(place.weights_bytes > 8 * GIB for place in row.estimate.devices)
    uneven = card(20, 4)
    (row,) = rows(candidate, [Settings(4096, devices=uneven.shares)], uneven)
    assert row.estimate.devices[0].weights_bytes > 3 * row.estimate.devices[1].weights_bytes


@pytest.mark.parametrize("sizes", [(8, 24), (24, 8), (4, 6, 20)])
def test_the_most_layers_for_unlike_cards_are_the_largest_number_that_fits(sizes: tuple[int, ...]) -> None:
    """`fits: yes` stood beside 44 of 48 layers: on unlike cards fewer layers may not fit where more of them do."""
    (candidate,) = candidates("glm-4.7-flash:Q8_0")
    cards = card(*sizes, reserve=512 * MIB)
    wanted = Settings(8192, devices=cards.shares)
    (row,) = rows(candidate, [wanted], cards)
    every = range(candidate.predictor.layout.n_blocks + 2)
    fitting = [n for n in every if cards.holds(candidate.predictor.estimate(replace(wanted, n_gpu_layers=n)))]
    assert row.most_layers == max(fitting)
    assert row.fits == (row.most_layers == every[-1])


@pytest.mark.parametrize("n_slots", [1, 4, 16])
def test_answers_with_a_cache_each_have_no_more_caches_than_answers(n_slots: int) -> None:
    """--no-kv-unified: four answers of 8,192 tokens were given six caches of 5,632."""
    (candidate,) = candidates("qwen3-8b:Q4_K_M")
    setting = with_slots(Settings(8192, unified=False), n_slots)
    size = room(
        candidate.predictor.layout,
        n_cells=setting.n_ctx * setting.n_slots,
        n_sequences=setting.n_sequences,
        n_batch=2048,
        n_ubatch=512,
        unified=False,
        swa_full=True,
    )
    assert (size.n_cells, size.n_streams) == (8192, n_slots)
    assert with_slots(Settings(8192), 4).n_sequences == 6


def test_without_a_card_everything_is_in_memory() -> None:
    (candidate,) = candidates("qwen3-8b:Q4_K_M")
    (row,) = rows(candidate, [Settings(8192, devices=())], Budget((), 8 * GIB, 0, ""))
    assert row.fits
    assert row.most_layers is None
    assert row.estimate.devices == ()
    assert row.to_json()["host"]["total_bytes"] > 5 * GIB


# Beside what was measured


def test_a_run_of_the_same_model_stands_beside_its_prediction(tmp_path: Path) -> None:
    found = readings(TWO_CARDS, loaded_vram=5200 * MIB, peak_vram=6200 * MIB)
    path = measured_run(tmp_path, found)
    (candidate,) = candidates("llama-3.1-8b:Q4_K_M")
    with Store.read(path) as store:
        (one,) = comparisons(store, candidate)
        assert not list(comparisons(store, candidates("llama-3.1-8b:Q8_0")[0]))
        assert not list(comparisons(store, candidates("qwen3-8b:Q4_K_M")[0]))
    assert one.on_cards
    assert (one.settings.n_ctx, one.settings.n_slots) == (2048, 4)
    assert one.settings.n_sequences == 6  # as many rows of logits as llama.cpp made room for
    predicted, measured = one.pair("weights", "model")
    assert predicted == pytest.approx(measured, rel=0.001)
    assert one.pair("kv", "kv") == (1024 * MIB, 1024 * MIB)
    predicted, measured = one.pair("compute", "compute")
    assert predicted == pytest.approx(measured, rel=0.1)
    assert one.to_json()["measured"]["vram_peak_bytes"] == 6200 * MIB


ON_THE_CPU = """\
load_tensors:   CPU_Mapped model buffer size =  4685.30 MiB
llama_context:        CPU  output buffer size =     0.49 MiB
llama_kv_cache:        CPU KV buffer size =   256.00 MiB
sched_reserve:        CPU compute buffer size =   124.01 MiB"""
# A CUDA build with -ngl 0: weights and cache are in memory, and stood beside 0 bytes.
SCRATCH_ON_A_CARD = """\
load_tensors:   CPU_Mapped model buffer size =  4685.30 MiB
llama_context:  CUDA_Host  output buffer size =     0.49 MiB
llama_kv_cache:        CPU KV buffer size =   256.00 MiB
sched_reserve:      CUDA0 compute buffer size =   669.48 MiB
sched_reserve:  CUDA_Host compute buffer size =     8.01 MiB"""


@pytest.mark.parametrize(
    ("lines", "load"), [(ON_THE_CPU, LoadParams()), (SCRATCH_ON_A_CARD, LoadParams(n_gpu_layers=0))]
)
def test_a_run_in_memory_is_compared_in_memory(lines: str, load: LoadParams, tmp_path: Path) -> None:
    path = measured_run(tmp_path, readings(lines), n_slots=1, load=load)
    (candidate,) = candidates("llama-3.1-8b:Q4_K_M")
    with Store.read(path) as store:
        (one,) = comparisons(store, candidate)
    assert not one.on_cards
    assert one.pair("kv", "kv") == (256 * MIB, 256 * MIB)
    predicted, measured = one.pair("weights", "model")
    assert predicted == pytest.approx(measured, rel=0.001)


def test_shares_of_cards_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    """--tensor-split on a machine without a card."""
    lines = """\
load_tensors:   CPU_Mapped model buffer size =  4685.30 MiB
llama_context:        CPU  output buffer size =     0.49 MiB
llama_kv_cache:        CPU KV buffer size =   256.00 MiB"""
    path = measured_run(tmp_path, readings(lines), n_slots=1, load=LoadParams(tensor_split=(1.0, 1.0)))
    with Store.read(path) as store:
        (one,) = comparisons(store, candidates("llama-3.1-8b:Q4_K_M")[0])
    assert one.pair("kv", "kv") == (256 * MIB, 256 * MIB)


def test_a_scripted_run_has_nothing_to_compare(tmp_path: Path) -> None:
    path = measured_run(tmp_path, readings("", peak_rss=5))
    with Store.read(path) as store:
        assert not list(comparisons(store, candidates("llama-3.1-8b")[0]))


def test_a_candidate_is_found_by_its_file_too(tmp_path: Path) -> None:
    path = measured_run(tmp_path, readings(TWO_CARDS), name="somebody/else")
    (candidate,) = candidates("llama-3.1-8b")
    renamed = Candidate("mine", candidate.quant, "file", candidate.predictor, n_file_bytes=1000)
    with Store.read(path) as store:
        assert len(list(comparisons(store, renamed))) == 1
