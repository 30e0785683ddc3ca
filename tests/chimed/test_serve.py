"""vLLM's command lines, and what is said where a server is missing, strange or dead. No vLLM is started here."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from chimed import gpus
from chimed.errors import UserError, WorkStopped
from chimed.llm import servers
from chimed.settings import settings
from support import loopback


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch) -> Iterator[None]:
    """Settings with two free ports and an interpreter that dies at once."""
    with socket.socket() as one, socket.socket() as two:
        for held in (one, two):
            held.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such checkpoint >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CHIMED_LLM_URL", f"http://127.0.0.1:{ports[0]}/v1")
    monkeypatch.setenv("CHIMED_JUDGE_URL", f"http://127.0.0.1:{ports[1]}/v1")
    monkeypatch.setenv("CHIMED_SCRATCH", str(tmp_path))
    monkeypatch.setenv("CHIMED_MODELS_PYTHON", str(broken))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def stranger(chosen) -> Iterator[None]:
    """Somebody else's model server on the generator's port."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "another-model"}]})

    port = int(settings().llm_url.split(":")[2].split("/")[0])
    with loopback.serving(loopback.answering(answer), port):
        yield


def test_a_missing_server_names_its_setting(chosen) -> None:
    with pytest.raises(UserError, match=r"no model server answers at .*CHIMED_LLM_URL"):
        servers.wait_for_servers(0)


def test_a_server_with_another_model_is_said(stranger) -> None:
    with pytest.raises(UserError, match="serves another-model, not chimed-generator"):
        servers.wait_for_servers(0)


def test_a_strangers_server_is_never_ours(stranger) -> None:
    with pytest.raises(UserError, match=r"another server already runs at .*CHIMED_LLM_URL to a free port"):
        servers.start_servers(5)


def test_a_dying_server_tells_its_log(chosen) -> None:
    with pytest.raises(UserError, match=r"(?s)server died while loading .*no such checkpoint"):
        servers.start_servers(20)


def test_one_port_for_both_is_refused(chosen, monkeypatch) -> None:
    monkeypatch.setenv("CHIMED_JUDGE_URL", settings().llm_url)
    settings.cache_clear()
    with pytest.raises(UserError, match="use the same port; give each server its own"):
        servers.start_servers(5)


@pytest.mark.parametrize(
    ("gpus", "flag", "devices"),
    [(0, "--enforce-eager", None), (1, "--gpu-memory-utilization", None), (8, "--tensor-parallel-size", "4,5,6,7")],
)
def test_the_judges_command_line_fits_the_machine(chosen, gpus: int, flag: str, devices: str | None) -> None:
    argv, environment = servers.server_command(servers.configured_servers()[1], 1, gpus)
    assert flag in argv
    assert environment.get("CUDA_VISIBLE_DEVICES") == devices
    assert ("OMP_NUM_THREADS" in environment) == (gpus == 0)
    assert ("--no-enable-chunked-prefill" in argv) == (gpus == 0)  # or a seeded request ends the CPU's engine
    assert "chimed-judge" in argv


def test_down_where_nothing_is_up_is_no_error(chosen) -> None:
    servers.stop_servers()


def test_a_server_inherits_no_secret(monkeypatch) -> None:
    kept = {
        "HF_TOKEN": "word",
        "HF_ENDPOINT": "https://mirror",
        "https_proxy": "http://me:word@proxy:3128",
        "NCCL_P2P_DISABLE": "1",
        "LD_LIBRARY_PATH": "/cuda",
    }
    kept_from_it = {
        "CHIMED_STORE_PASSWORD": "word",
        "CHIMED_DATA": "s3://chimed/lake",
        "AWS_SECRET_ACCESS_KEY": "word",
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AIRFLOW_DB_PASSWORD": "word",
        "AIRFLOW__CELERY__BROKER_URL_CMD": "python addresses.py broker",
        "REDIS_PASSWORD": "word",
        "SOMEBODYS_TOKEN": "word",
        "DATABASE_URL": "postgresql://me:word@db/mine",
        "VLLM_API_KEY": "another",
    }
    for name, value in (kept | kept_from_it).items():
        monkeypatch.setenv(name, value)
    inherited = servers.own_environment()
    assert kept.items() <= inherited.items()
    assert not inherited.keys() & kept_from_it.keys()
    assert inherited["PATH"] == os.environ["PATH"]


SLEEPER = """#!/bin/sh
exec {python} -c "import time; time.sleep(60)"
"""


def test_servers_and_training_keep_off_each_others_gpu(chosen, tmp_path, monkeypatch) -> None:
    """The servers never answer here; they hold the GPU while they load, and nothing once they were stopped."""
    python = tmp_path / "python"
    python.write_text(SLEEPER.format(python=sys.executable))
    monkeypatch.setattr(servers, "_gpus", lambda: 1)
    monkeypatch.setattr(gpus, "visible", lambda: ["0"])
    seen = []

    def waited(server, both, deadline, timeout) -> None:
        with pytest.raises(WorkStopped, match="GPU 0 is taken: the model servers"), gpus.lent(["0"], "me", 0.0):
            pass
        seen.append(server.name)

    monkeypatch.setattr(servers, "_wait", waited)
    servers.start_servers(5)
    servers.start_servers(5)  # as a retry does: both run, and nothing is waited for
    assert seen == ["generator", "judge"] * 2
    servers.stop_servers()
    taken = pytest.raises(WorkStopped, match=r"GPU 0 is taken: train cpt of qwen3-14b \(process \d+\)")
    with gpus.held("train cpt of qwen3-14b", 1), taken:
        servers.start_servers(0)
