"""What a run measured of memory: cards and host told apart, and what nobody explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fit.footprint import Footprint, footprints, is_copy, on_host
from bench.results.store import Store
from tests.bench.measured import TWO_CARDS, measured_run, readings

MIB = 1 << 20


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("CPU", True),
        ("CPU_Mapped", True),
        ("CPU_REPACK", True),
        ("CUDA_Host", True),
        ("Vulkan_Host", True),
        ("ROCm_Host", True),
        ("CUDA0", False),
        ("CUDA0_Split", False),
        ("ROCm1", False),
        ("Vulkan0", False),
        ("Metal", False),
        ("MTL0_Mapped", False),
        ("SYCL0", False),
    ],
)
def test_buffers_on_the_host_are_told_from_those_of_cards(device: str, expected: bool) -> None:
    assert on_host(device) is expected
    assert is_copy(device) is (device == "CPU_REPACK")


def footprint(lines: str, **others: int | None) -> Footprint:
    (found,) = footprints_of(lines, **others)
    return found


def footprints_of(lines: str, **others: int | None) -> tuple[Footprint, ...]:
    from bench.results.rows import MemoryReading

    return footprints(
        MemoryReading(1, each.moment, each.source, each.device, each.n_bytes) for each in readings(lines, **others)
    )


def test_several_cards_add_up_and_the_host_is_apart() -> None:
    found = footprint(TWO_CARDS, before_vram=0, loaded_vram=5200 * MIB, peak_vram=6200 * MIB, peak_rss=900 * MIB)
    assert found.cards == ("CUDA0", "CUDA1")
    assert found.on_cards("model") == pytest.approx(4403.49 * MIB, abs=2)
    assert found.on_cards("kv") == 1024 * MIB
    assert found.on_host("model") == pytest.approx(281.81 * MIB, abs=1)
    assert found.on_host("compute") == pytest.approx(16.01 * MIB, abs=1)
    assert found.vram_loaded_bytes == 5200 * MIB
    explained = 4403.49 + 1024 + 2 * 124.01
    assert found.unexplained_bytes == pytest.approx((6200 - explained) * MIB, abs=8)
    assert found.vram_scope == "process"


@pytest.mark.parametrize(
    ("lines", "on_cards_mib", "on_host_mib"),
    [
        (
            "load_tensors:  MTL0_Mapped model buffer size = 14803.73 MiB\n"
            "load_tensors:   CPU_Mapped model buffer size =   644.14 MiB\n"
            "llama_kv_cache:       MTL0 KV buffer size =  512.00 MiB",
            15315.73,
            644.14,
        ),
        (
            "load_tensors:        ROCm0 model buffer size =  100.00 MiB\n"
            "load_tensors:    ROCm_Host model buffer size =  10.00 MiB\n"
            "llama_memory_recurrent:      ROCm0 RS buffer size =    1.50 MiB",
            101.5,
            10,
        ),
        (
            "load_tensors:      Vulkan0 model buffer size =  100.00 MiB\n"
            "llama_kv_cache:    Vulkan0 KV buffer size =    8.00 MiB\n"
            "llama_kv_cache:    Vulkan0 KV buffer size =    4.00 MiB\n"
            "llama_context: Vulkan_Host  output buffer size =     1.00 MiB",
            112,
            1,
        ),
        (
            "load_tensors:   CPU_Mapped model buffer size =   100.00 MiB\n"
            "load_tensors:   CPU_REPACK model buffer size =    80.00 MiB",
            0,
            100,  # of the file, the rearranged weights are read once and never again
        ),
    ],
)
def test_other_backends_tell_themselves(lines: str, on_cards_mib: float, on_host_mib: float) -> None:
    """Without NVML llama.cpp's own figures are all there is."""
    found = footprint(lines)
    assert found.on_cards() == pytest.approx(on_cards_mib * MIB, abs=4)
    assert found.on_host() == pytest.approx(on_host_mib * MIB, abs=4)
    assert found.vram_peak_bytes is None
    assert found.unexplained_bytes is None


def test_one_answer_at_a_time_and_several_are_told_apart(tmp_path: Path) -> None:
    found = readings("a: CUDA0 KV buffer size = 1.00 MiB", before_rss=1, loaded_rss=2, peak_rss=3, parallel_rss=4)
    found += readings("a: CUDA0 KV buffer size = 4.00 MiB", "parallel")
    with Store.read(measured_run(tmp_path, found)) as store:
        alone, together = footprints(store.readings(1))
    assert [each.moment for each in (alone, together)] == ["peak", "parallel"]
    assert [each.on_cards("kv") // MIB for each in (alone, together)] == [1, 4]
    assert [each.rss_peak_bytes for each in (alone, together)] == [3, 4]
    assert together.to_json()["rss_before_bytes"] == 1
    assert together.to_json()["buffers"] == [{"device": "CUDA0", "kind": "kv", "bytes": 4 * MIB}]


def test_a_load_without_readings_has_none() -> None:
    assert footprints([]) == ()
