"""Check what the models need: GPUs, a recipe that fits them, and servers that answer or can be started. Ours.

Each check returns a sentence about what is there, or raises one about what is wrong (see `chimed.operations.check`).
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from chimed.build.context import StageContext
from chimed.errors import UserError
from chimed.llm import client, servers
from chimed.llm import identity as identities
from chimed.llm.protocol import Server
from chimed.operations import machine
from chimed.operations.findings import Notable
from chimed.train import needs
from chimed.train.run import base_name, base_of, is_path

PROBE_TIMEOUT = 60  # seconds for a question to another interpreter
SECOND_OPINION = ("translate", "generate_qa")  # stages that ask the judge if the option is on
# Flags that chimed sets itself: what a server is told twice, it takes from the last.
OURS = ("--model", "--served-model-name", "--host", "--port")
SECRETS = ("--api-key", "--hf-token")  # a command line can be read by everybody on the machine


def asks_judge(work: StageContext) -> bool:
    """Return whether a stage of the build asks the judge."""
    judged = ("prefer", "rate", *(SECOND_OPINION if work.options.second_opinion else ()))
    return any(stage not in work.options.skip for stage in judged)


def check_recipe(work: StageContext, recipe: str | None = None) -> str:
    """Check that a recipe, by default the settings', exists, is valid and has its GPUs. Raises UserError."""
    named = recipe or work.settings.recipe
    try:
        said = needs.check(named, work.settings)
        _check_base(work, named)
    except Notable:
        raise
    except UserError as error:
        if recipe:
            raise
        raise UserError(f"{error} (CHIMED_RECIPE; CHIMED_TRAIN=false trains nothing)") from None
    here = work.settings.compute == "local" and "gpus" in work.settings.model_fields_set
    if here and needs.wants_gpu(named) and not machine.gpus():
        raise Notable(
            f"{said}, and no GPU is seen here; where no other worker has one, train demo (CHIMED_RECIPE=demo)"
        )
    return said


def _check_base(work: StageContext, recipe: str) -> None:
    """Check that a recipe names a model, and that it is there where it is a folder. Raises UserError, Notable."""
    where = work.settings
    start = base_name(recipe, where.base_checkpoint)
    if not is_path(start):
        return  # of the hub: whether it gives it shows when the training begins
    if where.compute == "kubernetes":
        if not _seen_by_pods(work, start):
            raise UserError(
                f"pods cannot see {start} (CHIMED_BASE_CHECKPOINT or model_name_or_path): it must be a name of the "
                "hub, or under /data on CHIMED_K8S_VOLUME"
            )
        return
    try:
        base_of(recipe, where.base_checkpoint)
    except UserError as error:
        if where.models_queue is None:
            raise
        raise Notable(f"{error}; the worker of the queue {where.models_queue} must have it") from None


def _seen_by_pods(work: StageContext, folder: str) -> bool:
    """Tell whether the pods of GPU work have a folder: on the claim that they mount."""
    return bool(work.settings.k8s_volume) and Path(folder).is_relative_to("/data")


def check_gpu_work(work: StageContext) -> str:
    """Check that perplexity and training can run and can reach lake and store. Raises UserError with all that is wrong.

    In a cluster these run in a pod, which sees neither this machine's folders nor its SQLite file.
    """
    wrong = _faults_in_pods(work) if work.settings.compute == "kubernetes" else _faults_here(work)
    if wrong:
        raise UserError("; ".join(wrong))
    where = work.settings
    pods = f"pods with {where.k8s_gpu_product} in namespace {where.k8s_namespace} run {where.k8s_image}"
    return pods if where.compute == "kubernetes" else f"{where.models_python} runs it on this machine"


def _faults_in_pods(work: StageContext) -> list[str]:
    where, wrong = work.settings, []
    if "://" not in where.data and not _seen_by_pods(work, where.data):
        wrong.append(
            f"pods cannot see the lake {where.data}: CHIMED_DATA must be an s3:// URL, or a folder under /data on the "
            "claim that CHIMED_K8S_VOLUME names"
        )
    if where.store.startswith("sqlite"):
        wrong.append("pods cannot reach a store in an SQLite file: CHIMED_STORE must be postgresql://…")
    for setting in ("perplexity_model", "exams"):
        value = getattr(where, setting) or ""
        if value.startswith(("/", ".")) and not _seen_by_pods(work, value):
            wrong.append(f"pods cannot see {value}: CHIMED_{setting.upper()} must be under /data on CHIMED_K8S_VOLUME")
    for setting in ("k8s_image", "k8s_gpu_product", "k8s_namespace", "k8s_secret", "k8s_service_account"):
        if not getattr(where, setting).strip():
            wrong.append(f"CHIMED_{setting.upper()} is empty")
    return wrong


def check_gpus(work: StageContext) -> str:
    """Check that `CHIMED_GPUS` says what this machine has. Raises Notable: another container may have the GPUs."""
    there, said = len(machine.gpus()), work.settings.gpus
    if "gpus" not in work.settings.model_fields_set:
        return f"{there} here; CHIMED_GPUS does not say how many chimed may use"
    if there and said > there:
        raise UserError(
            f"CHIMED_GPUS is {said}, and this machine has {there}: tasks would ask for GPUs that are not there"
        )
    if said == 1 and not there and work.settings.serve != "local":
        return "none here; what takes the one slot of the pool gpus runs on the processor"
    if said and not there:
        raise Notable(
            f"CHIMED_GPUS is {said}, and no GPU is seen here; where this machine should have some, give its container "
            "the GPUs (the driver's nvidia-smi must answer), else set CHIMED_GPUS=0"
        )
    return f"chimed may use {said} of the {there} GPUs here" if there else "none, and CHIMED_GPUS says so"


def _faults_here(work: StageContext) -> list[str]:
    where, wrong = work.settings, []
    if not Path(where.models_python).exists():
        wrong.append(
            f"no interpreter at {where.models_python}; run make install, or set CHIMED_MODELS_PYTHON to the models' "
            "environment"
        )
    model = where.perplexity_model
    if model.startswith(("/", ".")) and not (Path(model) / "config.json").exists():
        wrong.append(
            f"no model in {model}: CHIMED_PERPLEXITY_MODEL must be a folder with a config.json, or a hub's name"
        )
    return wrong


# --- model servers ----------------------------------------------------------------------------------------------


def check_server(url: str, setting: str, named: Callable[[StageContext, int], Server], work: StageContext) -> str:
    """Check that a server answers, identifies itself, is not the other one, and obeys constraints. Raises UserError."""
    try:
        identities.list_models(url, work.settings.llm_key.get_secret_value())
    except identities.Unreachable as error:
        raise UserError(f"no model server answers at {url} ({error}); start it, or correct {setting}") from None
    server = named(work, 1)
    dialect = client.probe_dialect(server, work)
    if dialect.constraint == "none" and not work.settings.llm_unconstrained:
        raise UserError(
            f"{server.url} ignores structured_outputs, so an answer could be any sentence; serve the model "
            "with vLLM (--structured-outputs-config.backend xgrammar), or set CHIMED_LLM_UNCONSTRAINED=true to "
            "accept free replies"
        )
    return f"{server.who} answers at {server.url}, limited to allowed answers by {dialect.constraint}"


def check_startable_servers(work: StageContext) -> str:
    """Check that a run can start the servers itself, and that they will be two different models. Raises UserError."""
    where = work.settings
    generator, judge = servers.configured_servers(where)
    wrong = _faults_in_flags(where.vllm_flags)
    if where.serve == "local":
        wrong += _faults_in_devices(work)
        if not Path(where.models_python).exists():
            wrong.append(f"no interpreter at {where.models_python} to start vLLM with; correct CHIMED_MODELS_PYTHON")
        elif not _has_vllm(where.models_python):
            wrong.append(f"{where.models_python} has no vLLM; run make install")
        if urlsplit(generator.url).port == urlsplit(judge.url).port:
            wrong.append("CHIMED_LLM_URL and CHIMED_JUDGE_URL use the same port; give each server its own")
        for server, setting in ((generator, "CHIMED_LLM_CHECKPOINT"), (judge, "CHIMED_JUDGE_CHECKPOINT")):
            path = Path(server.checkpoint)
            if server.checkpoint.startswith(("/", ".")) and identities.hash_checkpoint(path) is None:
                wrong.append(
                    f"no model in {server.checkpoint}: {setting} must be a folder with weights, or a hub's name"
                )
    elif urlsplit(generator.url).hostname == urlsplit(judge.url).hostname:
        wrong.append("CHIMED_LLM_URL and CHIMED_JUDGE_URL name one host; give each service its own")
    identity = identities.identify_checkpoint(generator.checkpoint, where.llm_identity)
    same = identity == identities.identify_checkpoint(judge.checkpoint, where.judge_identity)
    if same and asks_judge(work) and not work.options.judge_is_generator:
        wrong.append(
            f"the judge is the generator: both load {identity}; set CHIMED_JUDGE_CHECKPOINT to another model (or "
            "allow it by the build's option judge_is_generator)"
        )
    if wrong:
        raise UserError("; ".join(wrong))
    return f"{identity} and {judge.checkpoint} can be started ({where.serve}); they are checked after their start"


def _faults_in_flags(said: str) -> list[str]:
    """Return what is wrong with `CHIMED_VLLM_FLAGS`; a value that may be a secret is not repeated."""
    try:
        given = {part.partition("=")[0] for part in servers.flags_of(said)}
    except UserError as error:
        return [str(error)]
    wrong = [f"CHIMED_VLLM_FLAGS has {flag}, which chimed sets itself; leave it out" for flag in OURS if flag in given]
    return wrong + [
        f"CHIMED_VLLM_FLAGS has {flag}, and everybody can read a command line; set CHIMED_LLM_KEY or HF_TOKEN instead"
        for flag in SECRETS
        if flag in given
    ]


def _faults_in_devices(work: StageContext) -> list[str]:
    """Return what is wrong with the GPUs of the servers that this machine starts."""
    where, wrong, known = work.settings, [], servers.visible_gpus()
    if not known:
        usual = [name for name in ("llm_checkpoint", "judge_checkpoint") if name not in where.model_fields_set]
        if usual or where.llm_devices or where.judge_devices:
            wrong.append(
                "this machine has no GPU for CHIMED_SERVE=local; set CHIMED_SERVE=external and the URLs of servers "
                "that run elsewhere, or name models for a processor (CHIMED_LLM_CHECKPOINT, CHIMED_JUDGE_CHECKPOINT)"
            )
        return wrong
    for number, name in enumerate(("LLM", "JUDGE", "TRAIN")):
        try:
            mine = (
                servers.listed(where.train_devices) if name == "TRAIN" else servers.devices(where, number, len(known))
            )
        except UserError as error:
            wrong.append(str(error))
            continue
        if strange := [one for one in mine if one not in known and not one.startswith(("GPU-", "MIG-"))]:
            wrong.append(
                f"CHIMED_{name}_DEVICES names GPU {', '.join(strange)}, and this machine has {', '.join(known)}"
            )
    return wrong


def _has_vllm(python: str) -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, timeout=PROBE_TIMEOUT).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
