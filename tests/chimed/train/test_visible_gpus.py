"""The names of the GPUs that a training locks: those that CUDA is told."""

import pytest

from chimed import gpus


def test_gpus_have_the_names_that_cuda_is_told(monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3")
    assert gpus.visible() == ["5", "3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.visible() == ["0", "1"]
