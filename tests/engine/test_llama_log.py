from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ModelFileError, OutOfMemory
from engine.llama.failures import AllocationFailure, allocation_failure, context_failure, load_failure
from engine.llama.log import CONTINUE, DEBUG, ERROR, INFO, WARN, BufferSize, Line, LogCapture, buffer_sizes, complaints
from engine.llama.params import ContextParams, Device

MIB = 1024 * 1024
GPU = Device("CUDA0", "a card", "gpu", free_bytes=4000 * MIB, total_bytes=16000 * MIB)
CPU = Device("CPU", "a processor", "cpu", free_bytes=8000 * MIB, total_bytes=32000 * MIB)


def lines(*texts: str, level: int = INFO) -> list[Line]:
    return [Line(level, text) for text in texts]


def test_pieces_are_put_together_into_lines() -> None:
    log = LogCapture()
    with log.collect() as collected:
        log.write(INFO, "one\ntwo")
        log.write(CONTINUE, " halves\n")
        log.write(ERROR, "bad")
        log.write(CONTINUE, "ly\n\n")
        log.write(DEBUG, "detail\n")
    log.write(INFO, "later\n")
    assert collected == [Line(INFO, "one"), Line(INFO, "two halves"), Line(ERROR, "badly"), Line(DEBUG, "detail")]
    assert log.last(2) == ["badly", "later"]


def test_only_the_last_lines_are_kept() -> None:
    log = LogCapture(n_lines=3)
    for number in range(10):
        log.write(INFO, f"line {number}\n")
    assert log.last() == ["line 7", "line 8", "line 9"]


def test_lines_go_to_a_file_at_once_and_until_told_otherwise(tmp_path: Path) -> None:
    log, path = LogCapture(), tmp_path / "llama.log"
    path.write_text("before\n")
    log.to_file(path)
    log.write(INFO, "ünë\n")
    assert path.read_text(encoding="utf-8") == "before\nünë\n"
    log.to_file(None)
    log.write(INFO, "two\n")
    assert path.read_text(encoding="utf-8") == "before\nünë\n"


def test_buffer_sizes_are_read_by_device_and_kind() -> None:
    said = lines(
        "load_tensors:        CUDA0 model buffer size =  4403.50 MiB",
        "load_tensors:   CPU_Mapped model buffer size =   100.00 MiB",
        "load_tensors:   CPU_Mapped model buffer size =    50.00 MiB",
        "llama_context:  CUDA_Host  output buffer size =     0.58 MiB",
        "llama_kv_cache:      CUDA0 KV buffer size =   576.00 MiB",
        "llama_kv_cache:      CUDA0 KV buffer size =    24.00 MiB",
        "llama_memory_recurrent:      CUDA0 RS buffer size =    10.00 MiB",
        "sched_reserve:      CUDA0 compute buffer size =   300.00 MiB",
        "sched_reserve:      CUDA0 compute buffer size =   304.00 MiB",
        "sched_reserve: graph nodes  = 1158",
    )
    assert buffer_sizes(said) == (
        BufferSize("CUDA0", "model", round(4403.5 * MIB)),
        BufferSize("CPU_Mapped", "model", 150 * MIB),
        BufferSize("CUDA_Host", "output", round(0.58 * MIB)),
        BufferSize("CUDA0", "kv", 600 * MIB),
        BufferSize("CUDA0", "rs", 10 * MIB),
        BufferSize("CUDA0", "compute", 304 * MIB),
    )


def test_complaints_are_the_errors_or_else_the_warnings() -> None:
    said = [Line(INFO, "fine"), Line(WARN, "odd"), Line(ERROR, "bad"), Line(ERROR, "bad"), Line(ERROR, "worse")]
    assert complaints(said) == "bad; worse"
    assert complaints(said[:2]) == "odd"
    assert complaints(said[:1]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "alloc_buffer: allocating 8192.00 MiB on device 1: cudaMalloc failed: out of memory",
            AllocationFailure(8192 * MIB, "CUDA1"),
        ),
        ("alloc_tensor_range: failed to allocate CUDA0 buffer of size 1048576", AllocationFailure(MIB, "CUDA0")),
        ("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 7", AllocationFailure(7, None)),
        ("output_reserve: failed to allocate output buffer of size 2.00 MiB", AllocationFailure(2 * MIB, None)),
        (
            "ggml_aligned_malloc: insufficient memory (attempted to allocate   3.00 MB)",
            AllocationFailure(3 * MIB, None),
        ),
        ("ggml_calloc: failed to allocate   1.00 MB", AllocationFailure(MIB, None)),
        ("llama_model_load: error loading model: tensor 'x' is not within the file bounds", None),
    ],
)
def test_failed_allocations_are_recognised(text: str, expected: AllocationFailure | None) -> None:
    assert allocation_failure(lines("print_info: n_layer = 32", text)) == expected


def test_a_model_too_large_for_the_card_is_told_how_many_layers_fit() -> None:
    said = lines(
        "print_info: n_layer               = 32",
        "alloc_buffer: allocating 8000.00 MiB on device 0: cudaMalloc failed: out of memory",
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 8388608000",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
    )
    error = load_failure(Path("/models/big.gguf"), said, [GPU, CPU])
    assert isinstance(error, OutOfMemory)
    assert str(error) == (
        "big.gguf does not fit into memory: 8,000 MiB were asked for on CUDA0, 4,000 MiB are free, 4,000 MiB are "
        "missing; put at most about 14 of its 32 layers there (-ngl 14), or take a smaller quantization"
    )


def test_a_model_too_large_for_the_machine_is_told_so() -> None:
    said = lines("ggml_aligned_malloc: insufficient memory (attempted to allocate 9000.00 MB)")
    assert str(load_failure(Path("big.gguf"), said, [CPU])) == (
        "big.gguf does not fit into memory: 9,000 MiB were asked for on CPU, 8,000 MiB are free, 1,000 MiB are "
        "missing; take a smaller quantization"
    )


def test_a_cache_too_large_is_told_which_context_or_type_fits() -> None:
    said = lines(
        "alloc_buffer: allocating 6000.00 MiB on device 0: cudaMalloc failed: out of memory",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    )
    error = context_failure(ContextParams(n_ctx=8192, n_seq_max=4), said, [GPU, CPU])
    assert isinstance(error, OutOfMemory)
    assert str(error) == (
        "the KV cache does not fit into memory: 6,000 MiB were asked for on CUDA0, 4,000 MiB are free, 2,000 MiB are "
        "missing; what would fit: a context of 4,864 tokens (-c 4864), or KV type q8_0, or fewer sequences "
        "(--parallel), or fewer layers on the device (-ngl), or a smaller quantization"
    )


def test_scratch_too_large_is_told_apart() -> None:
    said = lines("ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size 8388608000")
    message = str(context_failure(ContextParams(n_ctx=8192), said, [GPU]))
    assert message.startswith("the scratch memory does not fit into memory: 8,000 MiB were asked for on CUDA0")
    assert message.endswith("(-ub 256), a shorter context (-c) or fewer layers on the device (-ngl)")


def test_main_memory_has_no_layers_to_move() -> None:
    said = lines("ggml_aligned_malloc: insufficient memory (attempted to allocate 9000.00 MB)")
    message = str(context_failure(ContextParams(n_ctx=8192), said, [GPU, CPU]))
    assert message == (
        "the scratch memory does not fit into memory: 9,000 MiB were asked for on CPU, 8,000 MiB are free, 1,000 MiB "
        "are missing; use a smaller physical batch (-ub 256), a shorter context (-c) or a smaller quantization"
    )


def test_memory_that_came_back_meanwhile_is_not_called_missing() -> None:
    said = lines("ggml_aligned_malloc: insufficient memory (attempted to allocate 100.00 MB)")
    message = str(load_failure(Path("m.gguf"), said, [CPU]))
    assert "100 MiB were asked for;" in message
    assert "missing" not in message


def test_exhausted_main_memory_is_recognised_without_a_number() -> None:
    said = lines("llama_init_from_model: failed to initialize the context: std::bad_alloc", level=ERROR)
    for error in (context_failure(ContextParams(), said, [CPU]), load_failure(Path("m.gguf"), said, [CPU])):
        assert isinstance(error, OutOfMemory)
        assert "main memory" in str(error)


def test_other_failures_repeat_what_llama_cpp_said() -> None:
    said = lines("llama_model_load: error loading model: unknown model architecture: 'new'", level=ERROR)
    error = load_failure(Path("new.gguf"), said, [CPU])
    assert isinstance(error, ModelFileError)
    assert "unknown model architecture: 'new'" in str(error)
