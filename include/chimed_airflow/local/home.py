"""Where the embedded Airflow keeps its state, and the environment all its processes share.

Everything lies under `.chimed/demo/` of the project, and every server listens on loopback only.
"""

import json
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chimed.settings import PROJECT
from chimed_demo import models

STATE = Path(os.environ.get("CHIMED_DEMO_STATE", PROJECT / ".chimed" / "demo"))
AIRFLOW = STATE / "airflow"
LOGS = STATE / "logs"
NOTES = STATE / "running"
HOST = "127.0.0.1"
UI_PORT = 8080  # if it is free
# what so small a corpus and models need, and what shows every kind of row
OPTIONS = {
    "preference_share": 1.0,
    "preference_candidates": 3,
    "preference_spoilt": 0.3,
    "preference_scores": True,
    "reason_share": 1.0,
    "reason_tries": 3,
    "qa_answer": "span",
    "hops": 2,
    "rate_sample": 60,
}


@dataclass(frozen=True)
class Ports:
    """The ports of one start, all on loopback."""

    ui: int
    execution: int
    replica: int
    generator: int
    judge: int


def free_ports() -> Ports:
    """Ports nobody listens on; the UI gets its usual one if it can."""
    held = [_bind(UI_PORT) or _bind(0), *(_bind(0) for _ in range(4))]
    numbers = [one.getsockname()[1] for one in held if one is not None]
    for one in held:
        if one is not None:
            one.close()
    return Ports(*numbers)


def _bind(port: int) -> socket.socket | None:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
    except OSError:
        server.close()
        return None
    return server


@cache
def model_folders() -> dict[str, Path]:
    """Where the tiny models are, or will be once they are made. Asked once: texts may change meanwhile."""
    return {name: models.CACHE.resolve() / models.key() / name for name in models.NAMES}


def environment(ports: Ports) -> dict[str, str]:
    """Return the environment of the demo's processes, without the caller's own settings of Airflow and chimed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "CHIMED_"))}
    folders = model_folders()
    ours = {
        "PYTHONPATH": str(PROJECT / "include"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "OMP_NUM_THREADS": "1",  # models this small lose time with more
        # glibc keeps what torch frees: given back, it comes page by page again, which is a third of training's time
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
        "CHIMED_DATA": str(STATE / "lake"),
        "CHIMED_STORE": f"sqlite:///{STATE / 'store.db'}",
        "CHIMED_SCRATCH": str(STATE / "scratch"),
        "CHIMED_REPLICA": f"http://{HOST}:{ports.replica}",
        "CHIMED_SERVE": "local",
        "CHIMED_LLM_URL": f"http://{HOST}:{ports.generator}/v1",
        "CHIMED_JUDGE_URL": f"http://{HOST}:{ports.judge}/v1",
        "CHIMED_LLM_CHECKPOINT": str(folders["generator"]),
        "CHIMED_JUDGE_CHECKPOINT": str(folders["judge"]),
        "CHIMED_PERPLEXITY_MODEL": str(folders["gpt2"]),
        "CHIMED_BASE_CHECKPOINT": str(folders["generator"]),
        "CHIMED_EXAMS": str(PROJECT / "include" / "chimed_demo" / "exam"),
        "CHIMED_RECIPE": "demo",
        "CHIMED_BUILD_OPTIONS": json.dumps(OPTIONS),
        "AIRFLOW_HOME": str(AIRFLOW),
        # SQLite serves one writer: the others must wait for it, and be few.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW / 'airflow.db'}?timeout=60",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # loopback only
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{ports.execution}/execution/",
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{ports.ui}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__SECRET_KEY": _secret("api"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret("jwt"),
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "86400",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.8",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return kept | ours


def _secret(name: str) -> str:
    """Return a secret. It is made once and kept, because all processes must share it, also after a restart."""
    path = STATE / f".{name}-secret"
    if not path.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return path.read_text(encoding="utf-8")
