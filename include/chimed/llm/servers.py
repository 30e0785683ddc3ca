"""Start, watch and stop vLLM on this machine: for the generator and the judge, and for a model under evaluation.

Another program on the port must not pass for our server, so a server is known by its process, not by its answers.
"""

import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from chimed import gpus, lists, processes
from chimed.errors import UserError
from chimed.llm import identity
from chimed.private import scratch_folder
from chimed.secrets import harmless
from chimed.settings import Settings, settings

log = logging.getLogger("chimed")

# what a server inherits though it may hold a secret: it downloads its model, perhaps through a proxy
INHERITED = ("HF_TOKEN", "HF_ENDPOINT", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROGRESS_EVERY = 15  # seconds between two log lines while a server loads
TAIL_LINES = 15
SHARE_OF_ONE_GPU = 0.42  # share for each of two servers, which leaves room for the perplexity model
# The models that fit GPUs of 48 GB where the settings name none, by the number of GPUs. A server of one GPU may take
# 20 GB when two share it and 43 GB when it is alone; the weights of Qwen3 take 2 bytes a parameter, as FP8 one.
FITTING = {1: ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-14B-FP8"), 2: ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B-FP8")}

# The CPU build: without these its threads spin against each other, and the first request with logprobs compiles.
CPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
OUTPUT_FLAGS = (
    *("--structured-outputs-config.backend", "xgrammar"),
    *("--structured-outputs-config.disable_any_whitespace", "true"),  # or a weak model pads its JSON for ever
)
PRIVATE_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class ServerConfig:
    """A model server to start: its name, its setting, its URL, the served name, and the checkpoint it loads."""

    name: str
    variable: str
    url: str
    model: str
    checkpoint: str


def configured_servers(chosen: Settings | None = None) -> tuple[ServerConfig, ServerConfig]:
    """Return the generator and the judge of the settings, by default this process's."""
    chosen = chosen or settings()
    generates, judges = checkpoints(chosen)
    return (
        ServerConfig("generator", "CHIMED_LLM_URL", chosen.llm_url, chosen.llm_model, generates),
        ServerConfig("judge", "CHIMED_JUDGE_URL", chosen.judge_url, chosen.judge_model, judges),
    )


def checkpoints(chosen: Settings) -> tuple[str, str]:
    """Return what the generator's and the judge's server load: what the settings name, else what the GPUs hold.

    How many there are `CHIMED_GPUS` says, so that every container of a deployment knows the same.
    """
    number = (chosen.gpus if "gpus" in chosen.model_fields_set else _gpus()) - len(listed(chosen.train_devices))
    number = max((one for one in FITTING if one <= number), default=0) if number < 4 else 0
    found = [chosen.llm_checkpoint, chosen.judge_checkpoint]
    for place, name in enumerate(("llm_checkpoint", "judge_checkpoint")):
        if chosen.serve == "local" and number and name not in chosen.model_fields_set:
            found[place] = FITTING[number][place]
    return found[0], found[1]


def start_servers(timeout: int) -> None:
    """Start the servers that are not running and wait until both answer. If that fails, stop both.

    Their GPUs are locked for as long as they live. Raises UserError if another program uses a port, a server dies (with
    the end of its log), or the time is up, and WorkStopped if a training keeps their GPUs until then.
    """
    both = configured_servers()
    if urlsplit(both[0].url).port == urlsplit(both[1].url).port:
        raise UserError(f"{both[0].variable} and {both[1].variable} use the same port; give each server its own")
    with FileLock(scratch_folder() / "serve.lock"):  # two shards that find the servers dead must not both start them
        _up(both, timeout)


def _up(both: tuple[ServerConfig, ServerConfig], timeout: int) -> None:
    try:
        deadline = time.monotonic() + timeout
        down = [number for number, one in enumerate(both) if processes.running_pid(_state_file(one)) is None]
        with gpus.lent(_wanted(down), "the model servers (python -m chimed serve down ends them)", deadline) as locks:
            for number, server in enumerate(both):
                if number in down:
                    _start(server, number, locks)
                else:
                    log.info("%s: already running", server.name)
        for server in both:
            _wait(server, both, deadline, timeout)
    except BaseException:
        stop_servers()
        raise


def _wanted(down: list[int]) -> list[str]:
    """Return the GPUs that the servers with these numbers need, less those that the other one holds already."""
    there = _gpus()
    if not there:
        return []
    mine = {gpu for number in down for gpu in devices(settings(), number, there)}
    return sorted(mine - {gpu for number in {0, 1} - set(down) for gpu in devices(settings(), number, there)})


def stop_servers() -> None:
    """Stop both servers, also half-started ones; log what was stopped."""
    ended = processes.end([_state_file(server) for server in configured_servers()])
    for server in configured_servers():
        log.info("%s: %s", server.name, "ended" if server.name in ended else "was not up")


def wait_for_servers(timeout: int) -> None:
    """Wait until both servers, whoever runs them, answer and serve the configured models.

    Raises UserError that names the setting to correct.
    """
    deadline = time.monotonic() + timeout
    for server in configured_servers():
        while (models := _served_models(server.url)) is None:
            if time.monotonic() > deadline:
                by_whom = "; CHIMED_SERVE is external, so chimed starts none" if settings().serve == "external" else ""
                raise UserError(
                    f"no model server answers at {server.url} ({server.variable}), asked for {timeout} s{by_whom}"
                )
            time.sleep(2)
        if models and server.model not in models:  # a hosted API may not list its models
            raise UserError(f"{server.url} ({server.variable}) serves {', '.join(models)}, not {server.model}")
        log.info("%s: %s answers at %s", server.name, server.model, server.url)


@contextmanager
def serve_checkpoint(checkpoint: str, dtype: str, log_file: Path, timeout: int = 1800) -> Iterator[ServerConfig]:
    """Run a server for a checkpoint on a free port of this machine, for the length of a `with` block.

    Raises UserError if it dies, with the end of its log, or is not ready in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ServerConfig("evaluated", "", f"http://127.0.0.1:{port}/v1", "chimed-evaluated", checkpoint)
    argv, extra = server_command(server, 0, _gpus())
    argv += ["--dtype", dtype, *(["--gpu-memory-utilization", "0.9"] if _gpus() else [])]  # alone on its GPU
    with processes.child_process(argv, log_file, extra, inherited=own_environment()) as process:
        log.info("loading %s, log in %s", checkpoint, log_file)
        deadline = time.monotonic() + timeout
        while not _healthy(server):
            if process.poll() is not None or time.monotonic() > deadline:
                end = "died" if process.poll() is not None else f"is not ready after {timeout} s"
                told = processes.last_lines(log_file, TAIL_LINES)
                raise UserError(f"the server for {checkpoint} {end}:\n{told}")
            time.sleep(0.5)
        yield server


def max_model_length(server: ServerConfig) -> int:
    """Return the longest text, in tokens and with the answer, that a vLLM server accepts."""
    return identity.list_models(server.url, settings().llm_key.get_secret_value())[0]["max_model_len"]


# --- one server -------------------------------------------------------------------------------------------------


def flags(chosen: Settings) -> list[str]:
    """Return the further flags of servers that chimed starts (`CHIMED_VLLM_FLAGS`), as a shell would split them."""
    return flags_of(chosen.vllm_flags)


def flags_of(said: str) -> list[str]:
    """Split flags as a shell would, and at full-width spaces. Raises UserError where a quote or a backslash ends
    nowhere.
    """
    parts = shlex.shlex(said, posix=True)
    parts.whitespace, parts.whitespace_split, parts.commenters = parts.whitespace + "\u3000", True, ""
    try:
        return list(parts)
    except ValueError as error:
        raise UserError(f"CHIMED_VLLM_FLAGS cannot be split as a shell would ({error}); correct its quotes") from None


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that servers of this machine may use: numbers, or those of CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip()]
    return [str(one) for one in range(_gpus())]


def server_command(server: ServerConfig, number: int, gpus: int) -> tuple[list[str], dict[str, str]]:
    """Return the command line and extra environment of a server. number: its place among the servers on these GPUs."""
    where = urlsplit(server.url)
    argv = [settings().models_python, "-m", "vllm.entrypoints.openai.api_server"]
    argv += ["--model", server.checkpoint, "--served-model-name", server.model]
    argv += ["--host", where.hostname or "127.0.0.1", "--port", str(where.port or 80)]
    argv += OUTPUT_FLAGS
    environment = dict(PRIVATE_ENVIRONMENT)
    if gpus == 0:
        # chunked prefill crashes the engine on a CPU: its random generator cannot rewind for a seeded request
        argv += ["--dtype", "bfloat16", "--enforce-eager", "--no-enable-chunked-prefill"]
        environment |= CPU_ENVIRONMENT
    else:
        mine, others = (devices(settings(), one, gpus) for one in (number, 1 - number))
        if gpus > 1:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
            argv += ["--tensor-parallel-size", str(len(mine))]
        if set(mine) & set(others):
            argv += ["--gpu-memory-utilization", str(SHARE_OF_ONE_GPU)]
    key = settings().llm_key.get_secret_value()
    if key != "none":
        environment["VLLM_API_KEY"] = key
    if Path(server.checkpoint).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    return argv + flags(settings()), environment


def own_environment() -> dict[str, str]:
    """Return what a server inherits: a model's code, which may be anybody's, reads neither store nor lake with it."""
    return harmless(os.environ, allowed=INHERITED)


def devices(chosen: Settings, number: int, gpus: int) -> list[str]:
    """Return the GPUs of the server with this number (0: generator, 1: judge) on a machine with so many.

    Raises UserError where the settings name a number of them that tensor parallelism cannot split a model over.
    """
    name, given = (("LLM", chosen.llm_devices), ("JUDGE", chosen.judge_devices))[number]
    if found := listed(given):
        if len(found) & (len(found) - 1) or len(set(found)) < len(found):
            raise UserError(f"CHIMED_{name}_DEVICES is {given!r}; name 1, 2, 4 or 8 different GPUs, as 0,1")
        return found
    visible = listed(os.environ.get("CUDA_VISIBLE_DEVICES", "")) or [str(one) for one in range(gpus)]
    visible = [one for one in visible if one not in listed(chosen.train_devices)] or visible
    each = 1 << ((len(visible) // 2).bit_length() - 1) if len(visible) > 1 else 1  # tensor parallelism: a power of two
    return visible[number * each :][:each] or visible[:1]


def listed(devices: str) -> list[str]:
    """Return the GPUs that a setting names, separated by commas or blanks."""
    return lists.words(devices)


def _gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len(listed(visible))
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _start(server: ServerConfig, number: int, locks: list[int]) -> None:
    """Start a server. locks: of its GPUs, open files that it holds for as long as it lives."""
    python = settings().models_python
    if not Path(python).exists():
        raise UserError(
            f"no interpreter at {python}; run make install, or set CHIMED_MODELS_PYTHON to a Python with vLLM"
        )
    if _served_models(server.url) is not None:
        raise UserError(
            f"another server already runs at {server.url}; stop it, or set {server.variable} to a free port"
        )
    argv, extra = server_command(server, number, _gpus())
    processes.start(argv, _state_file(server), _log_file(server), extra, keeps=locks, inherited=own_environment())
    log.info("%s: loading %s, log in %s", server.name, server.checkpoint, _log_file(server))


def _wait(server: ServerConfig, both: tuple[ServerConfig, ServerConfig], deadline: float, timeout: int) -> None:
    started = said = time.monotonic()
    while not _healthy(server):
        for one in both:  # the other may die while this one loads
            if processes.running_pid(_state_file(one)) is None:
                raise UserError(f"the {one.name}'s server died while loading {one.checkpoint}:\n{_tail(one)}")
        if time.monotonic() > deadline:
            raise UserError(f"the {server.name}'s server is not ready after {timeout} s:\n{_tail(server)}")
        if time.monotonic() - said > PROGRESS_EVERY:
            said = time.monotonic()
            log.info("%s: still loading, %d s: %s", server.name, said - started, _tail(server, 1)[:160])
        time.sleep(0.5)
    log.info("%s: ready at %s", server.name, server.url)


def _healthy(server: ServerConfig) -> bool:
    where = urlsplit(server.url)
    try:
        identity.get(f"{where.scheme}://{where.netloc}/health", settings().llm_key.get_secret_value())
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def _served_models(url: str) -> list[str] | None:
    """Return the names of the models served at a URL; None if nothing answers or the server is not ready."""
    try:
        return [model["id"] for model in identity.list_models(url, settings().llm_key.get_secret_value())]
    except identity.Unreachable:
        return None


def _state_file(server: ServerConfig) -> Path:
    return scratch_folder() / f"{server.name}.json"


def _log_file(server: ServerConfig) -> Path:
    return scratch_folder() / f"{server.name}.log"


def _tail(server: ServerConfig, lines: int = TAIL_LINES) -> str:
    return processes.last_lines(_log_file(server), lines)
