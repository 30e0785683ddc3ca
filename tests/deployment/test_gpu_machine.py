"""One machine with GPUs: which models fit them, and who has which GPU."""

import pytest

from chimed.settings import settings
from support.deployment import SERVICES


def test_model_work_goes_to_its_worker(monkeypatch) -> None:
    from chimed_airflow import tasks

    listens = SERVICES["airflow-worker-models"]["command"].split("--queues ")[1]
    assert listens == SERVICES["airflow-worker"]["environment"]["CHIMED_MODELS_QUEUE"]  # also where .env names another
    queue = "models"
    monkeypatch.setenv("CHIMED_MODELS_QUEUE", queue)
    monkeypatch.setenv("CHIMED_GPUS", "4")
    for serve, where_llm in (("local", queue), ("external", None)):
        monkeypatch.setenv("CHIMED_SERVE", serve)
        settings.cache_clear()
        assert tasks.where("llm")[1].get("queue") == where_llm
        assert tasks.where("cpu")[1].get("queue") is None
        for needs, slots in (("gpu", 2), ("evaluate", 4), ("train", 4)):
            found = tasks.where(needs)[1]
            assert (found["queue"], found["pool"], found["pool_slots"]) == (queue, "gpus", slots)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("gpus", "models", "sizes"),
    [
        (1, ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-14B-FP8"), None),
        (2, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B-FP8"), ("0", "1")),
        (4, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"), ("0,1", "2,3")),
        (8, ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"), ("0,1,2,3", "4,5,6,7")),
    ],
)
def test_default_models_fit_the_gpus_of_one_machine(monkeypatch, gpus: int, models, sizes) -> None:
    from chimed.llm import servers

    billions = {"8B": 8.2, "14B": 14.8, "32B": 32.8}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in {"SERVE": "local", "GPUS": str(gpus), "VLLM_FLAGS": "--max-model-len 8192"}.items():
        monkeypatch.setenv(f"CHIMED_{name}", value)
    settings.cache_clear()
    both = servers.configured_servers()
    assert tuple(one.checkpoint for one in both) == models
    for number, one in enumerate(both):
        argv, environment = servers.server_command(one, number, gpus)
        assert environment.get("CUDA_VISIBLE_DEVICES") == (sizes[number] if sizes else None)
        split = int(argv[argv.index("--tensor-parallel-size") + 1]) if sizes else 1
        share = servers.SHARE_OF_ONE_GPU if "--gpu-memory-utilization" in argv else 0.9
        size = one.checkpoint.split("-")[1]
        weights = billions[size] * (1.06 if one.checkpoint.endswith("FP8") else 2)
        assert weights / split < 48 * share - 3, "room for a batch beside the weights"
        assert argv[-2:] == ["--max-model-len", "8192"]
    settings.cache_clear()


def test_devices_and_checkpoints_of_the_settings_are_taken(monkeypatch) -> None:
    from chimed.errors import UserError
    from chimed.llm import servers
    from chimed.settings import Settings

    chosen = Settings(llm_devices="3", judge_devices="0, 1", serve="local", gpus=4, llm_checkpoint="my/model")
    assert [servers.devices(chosen, number, 4) for number in (0, 1)] == [["3"], ["0", "1"]]
    assert servers.checkpoints(chosen) == ("my/model", "Qwen/Qwen3-32B")
    for wrong in ("0,1,2", "1,1"):
        with pytest.raises(UserError, match="CHIMED_LLM_DEVICES"):
            servers.devices(Settings(llm_devices=wrong), 0, 4)


@pytest.mark.parametrize(
    ("gpus", "train", "models", "sizes"),
    [
        (2, "1", ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-14B-FP8"), ("0", "0")),
        (4, "2,3", ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B-FP8"), ("0", "1")),
        (8, "4, 5, 6, 7", ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"), ("0,1", "2,3")),
    ],
)
def test_servers_keep_off_the_gpus_of_training(monkeypatch, gpus: int, train: str, models, sizes) -> None:
    from chimed.llm import servers

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in {"SERVE": "local", "GPUS": str(gpus), "TRAIN_DEVICES": train}.items():
        monkeypatch.setenv(f"CHIMED_{name}", value)
    settings.cache_clear()
    both = servers.configured_servers()
    assert tuple(one.checkpoint for one in both) == models
    commands = [servers.server_command(one, number, gpus) for number, one in enumerate(both)]
    assert tuple(environment["CUDA_VISIBLE_DEVICES"] for _, environment in commands) == sizes
    shared = "--gpu-memory-utilization" in commands[0][0]
    assert shared == (sizes[0] == sizes[1])
    settings.cache_clear()


def test_training_sees_its_own_gpus_only(monkeypatch) -> None:
    from chimed_airflow import tasks

    started: list[tuple[list[str], dict | None]] = []

    class Ended(Exception):
        pass

    def start(argv: list[str], more: dict | None = None) -> None:
        started.append((argv, more))
        raise Ended

    monkeypatch.setattr(tasks, "start", start)
    for devices, models, expected in (
        ("2, 3", True, {"CUDA_VISIBLE_DEVICES": "2,3"}),
        ("2，3 4", True, {"CUDA_VISIBLE_DEVICES": "2,3,4"}),
        ("2,3", False, None),
        ("", True, None),
    ):
        monkeypatch.setenv("CHIMED_TRAIN_DEVICES", devices)
        settings.cache_clear()
        task = tasks.ChimedOperator(task_id="one", command=["train", "cpt"], models=models)
        with pytest.raises(Ended):
            task._run(["train", "cpt"])
        assert started.pop()[1] == expected
    settings.cache_clear()
