"""A conversion is llama.cpp's: found, started with the right words, recorded, and its file looked at."""

import os
import sys
from pathlib import Path

import pytest

from chimed.errors import UserError, WorkStopped
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.trained.convert import commands, convert, find_tools
from support import phases
from support.phases import VERSION

# Takes the converter's words and writes a GGUF header of two tensors; it runs as the real one does.
STAND_IN = """
import struct, sys
from pathlib import Path
source, out, kind = Path(sys.argv[1]), sys.argv[sys.argv.index("--outfile") + 1], sys.argv[-1]
assert sys.argv[-2] == "--outtype" and (source / "config.json").is_file(), sys.argv
weights = (source / "model.safetensors").read_bytes()
Path(out).write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + kind.encode() + weights)
"""
QUANTIZER = """#!/bin/sh
test "$3" = Q4_K_M && cp "$1" "$2" && echo small >> "$2"
"""


@pytest.fixture
def lake(tmp_path) -> Lake:
    return phases.write(tmp_path)


@pytest.fixture
def llama(tmp_path, monkeypatch) -> Path:
    """A folder as llama.cpp's, with nothing built."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    (folder / "convert_hf_to_gguf.py").write_text(STAND_IN)
    monkeypatch.setenv("CHIMED_LLAMA_CPP", str(folder))
    monkeypatch.setenv("CHIMED_MODELS_PYTHON", sys.executable)
    settings.cache_clear()
    return folder


def build(llama: Path) -> None:
    (llama / "build" / "bin").mkdir(parents=True)
    (llama / "build" / "bin" / "llama-quantize").write_text(QUANTIZER)
    (llama / "build" / "bin" / "llama-quantize").chmod(0o755)


def test_the_file_and_its_record_lie_in_the_lake(lake, llama) -> None:
    made = convert(lake, VERSION, "demo", "sft", "q8_0")
    content = lakes.read_bytes(lake, f"models/{VERSION}/demo/sft/gguf/q8_0.gguf")
    assert content.startswith(b"GGUF")
    assert content.endswith(b"q8_0weights after sft")
    assert (made["tensors"], made["bytes"]) == (2, len(content))
    assert lakes.read_json(lake, f"models/{VERSION}/demo/sft/gguf/q8_0.json") == made
    (llama / "convert_hf_to_gguf.py").write_text(STAND_IN + "\n# another version\n")
    assert convert(lake, VERSION, "demo", "sft", "q8_0")["made_by"] != made["made_by"]


def test_what_is_converted_is_not_converted_again(lake, llama, monkeypatch) -> None:
    made = convert(lake, VERSION, "demo", "sft", "bf16")
    monkeypatch.setattr("chimed.trained.convert._run", None)
    assert convert(lake, VERSION, "demo", "sft", "bf16") == made


def test_few_bits_take_two_steps(lake, llama) -> None:
    with pytest.raises(UserError, match=r"llama-quantize is not on this machine.*q8_0"):
        convert(lake, VERSION, "demo", "sft", "q4_k_m")
    build(llama)
    first, second = commands(find_tools(True), Path("/m"), Path("/t/q4_k_m.gguf"), "q4_k_m")
    assert first[1:] == [f"{llama}/convert_hf_to_gguf.py", "/m", "--outfile", "/t/bf16.gguf", "--outtype", "bf16"]
    assert second[1:] == ["/t/bf16.gguf", "/t/q4_k_m.gguf", "Q4_K_M"]
    made = convert(lake, VERSION, "demo", "sft", "q4_k_m")
    assert sorted(made["made_by"]) == ["convert_hf_to_gguf.py", "llama-quantize"]
    assert lakes.read_bytes(lake, f"models/{VERSION}/demo/sft/gguf/q4_k_m.gguf").endswith(b"small\n")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys; sys.exit('BPE pre-tokenizer was not recognized \\x1b[2J')", "was not recognized ⟨U\\+001B⟩"),
        ("pass", "left no file q8_0.gguf"),
        ("import sys; open(sys.argv[3], 'wb').write(b'PK' * 20)", "no GGUF file"),
        ("import sys; open(sys.argv[3], 'wb').write(b'GGUF')", "no GGUF file"),
        ("import sys; open(sys.argv[3], 'wb').write(b'GGUF' + b'\\3\\0\\0\\0' + bytes(40))", "0 tensors"),
    ],
)
def test_a_tool_that_fails_leaves_nothing(lake, llama, script: str, told: str) -> None:
    (llama / "convert_hf_to_gguf.py").write_text(script)
    with pytest.raises(WorkStopped, match=told):
        convert(lake, VERSION, "demo", "sft", "q8_0")
    assert not lakes.files(lake, f"models/{VERSION}/demo/sft/gguf")


def test_without_llama_cpp_a_sentence_says_how(lake, llama, monkeypatch) -> None:
    (llama / "convert_hf_to_gguf.py").unlink()
    with pytest.raises(UserError, match=r"there is no convert_hf_to_gguf\.py in it; get llama\.cpp"):
        convert(lake, VERSION, "demo", "sft", "q8_0")
    monkeypatch.delenv("CHIMED_LLAMA_CPP")
    monkeypatch.setenv("PATH", os.defpath)
    settings.cache_clear()
    for phase, kind, told in (
        ("sft", "q8_0", "not on this machine; get llama.cpp"),
        ("sft", "awq", "unknown type 'awq'"),
        ("dpo", "q8_0", "has not been trained"),
        ("base", "q8_0", "unknown phase"),
    ):
        with pytest.raises(UserError, match=told):
            convert(lake, VERSION, "demo", phase, kind)


def test_another_model_than_the_reports_is_refused(lake, llama) -> None:
    lakes.write_bytes(lake, f"models/{VERSION}/demo/sft/merged/model.safetensors", b"else")
    with pytest.raises(WorkStopped, match="is not the model of its report"):
        convert(lake, VERSION, "demo", "sft", "q8_0")
