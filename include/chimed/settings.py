"""Define the settings: where the lake, the store, the servers and the models are. Each is a `CHIMED_…` variable.

How a build is made (cuts, shares, sources) is not set here: the paper's constants are beside their use in `stages/`,
and what a build may change of them is in `chimed.build.options`, stored with the build.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from chimed import lists
from chimed.errors import UserError
from chimed.model_addresses import is_address, read_addresses

_PACKAGES = Path(__file__).resolve().parents[1]
# The folder that holds `.chimed/` unless a variable says otherwise: the checkout, or, of an installed package, the
# folder where a command is run.
PROJECT = _PACKAGES.parent if _PACKAGES.name == "include" else Path.cwd()


class Settings(BaseSettings):
    """All settings. One field is one variable: `data` is `CHIMED_DATA`. Defaults suit a laptop."""

    model_config = SettingsConfigDict(env_prefix="CHIMED_", env_ignore_empty=True)

    data: str = Field(str(PROJECT / ".chimed" / "lake"), description="the lake: a folder or an s3:// URL")
    store: str = Field(
        f"sqlite:///{PROJECT / '.chimed' / 'store.db'}",
        description="the store: a SQLAlchemy URL (SQLite or PostgreSQL)",
    )
    store_password: SecretStr | None = Field(
        None, description="the store's password, if it is not in its URL; here no character of it has to be escaped"
    )

    contact: str = Field(
        "https://github.com/chimed/chimed",
        description="how a site's owner reaches you; part of the crawler's user agent",
    )
    replica: str | None = Field(None, description="crawl this replica of the sites instead of the sites themselves")
    replica_delay: float = Field(
        0.03, ge=0, description="seconds between two requests to a replica; 0, for benchmarks: no pause"
    )
    recheck_days: int | None = Field(
        None, ge=0, description="days after which a known page is rechecked; empty: by its state and age"
    )
    recheck_hours: float = Field(12, gt=0, description="hours of each crawl spent on rechecking known pages")
    dead_lists: int = Field(
        0, ge=0, description="how many lists of a site may be gone (404, 410, home page) before its crawl fails"
    )
    pace: dict[str, float] = Field(
        default_factory=dict,
        description='seconds between two requests, where you and a site\'s owner agreed on them: {"ask39": 5}',
    )
    miss_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a crawl's pages that may give no record; above it the crawl or extract fails",
    )
    zydcd: dict[str, Any] = Field(
        default_factory=dict, description="URLs of www.zydcd.com's lists, chapters and cases: see sources/zydcd.py"
    )
    lists: dict[str, dict[str, list[str]]] = Field(
        default_factory=dict,
        description="start URLs of a site's lists by section, instead of the built-in ones; an empty one is skipped: "
        '{"ask39": {"妇科": ["https://ask.39.net/browse/44-1-1.html"]}}',
    )
    retention_identifiers: int = Field(
        90, ge=0, description="days until rows that were dropped for an identifier or a name lose their text; 0: never"
    )
    retention_dropped: int = Field(
        0, ge=0, description="days until all other dropped rows lose their text in the tables of builds; 0: never"
    )
    retention_raw: int = Field(
        0, ge=0, description="days until a crawl's raw pages are removed; its records stay; 0: never"
    )
    sources: str | None = Field(None, description="a folder with more sites' files, beside those in sources/")

    llm_url: str = Field("http://127.0.0.1:8000/v1", description="the generator's OpenAI-compatible server")
    llm_model: str = Field("chimed-generator", description="the generator's name at its server")
    judge_url: str = Field("http://127.0.0.1:8001/v1", description="the judge's OpenAI-compatible server")
    judge_model: str = Field(
        "chimed-judge", description="the judge's name at its server; not the generator (paper §3.2)"
    )
    more_generators: str = Field(
        "",
        description="further generators that write candidates for preferences, in turn with the first: "
        "`http://gpu2:8000/v1 qwen3-8b, http://gpu3:8000/v1 glm-4-9b`; a third word says what a model is, if its "
        "server does not report it",
    )
    llm_identity: str | None = Field(
        None, description="the generator's real name and version, if its server does not report it"
    )
    judge_identity: str | None = Field(
        None, description="the judge's real name and version, if its server does not report it"
    )
    llm_unconstrained: bool = Field(
        False,
        description="accept servers that ignore structured outputs; their replies are read as free text",
    )
    llm_key: SecretStr = Field(SecretStr("none"), description="API key of the model servers")
    llm_concurrency: int = Field(64, ge=1, le=4096, description="requests in flight from one shard")
    llm_timeout: float = Field(600, gt=0, description="seconds after which a request counts as lost and is repeated")
    llm_patience: float | None = Field(
        None,
        ge=0,
        description="seconds that work waits for a model server that is away, as one whose pod is made anew; empty: an "
        "hour for the cluster's, ten minutes for one that you run, none for one of this machine, which a retry starts",
    )
    llm_gpus: int = Field(0, ge=0, description="GPUs of a model server that you started yourself; 0: unknown")

    serve: Literal["external", "local", "kubernetes"] = Field(
        "external", description="who starts vLLM: you (external), this machine (local) or the cluster (kubernetes)"
    )
    llm_checkpoint: str = Field(
        "Qwen/Qwen3-14B",
        description="model that the generator's server loads, if chimed starts it; on one machine with fewer than four "
        "GPUs a smaller one is the default",
    )
    judge_checkpoint: str = Field(
        "Qwen/Qwen3-32B",
        description="model that the judge's server loads, if chimed starts it; on one machine with fewer than four "
        "GPUs a smaller one is the default",
    )
    llm_devices: str = Field(
        "", description="GPUs of the generator's server on one machine, e.g. 0,1; empty: the first half of all"
    )
    judge_devices: str = Field(
        "", description="GPUs of the judge's server on one machine, e.g. 2,3; empty: the second half of all"
    )

    train_devices: str = Field(
        "",
        description="GPUs of training, evaluation and perplexity on one machine, e.g. 2,3; the model servers then have "
        "the others; empty: all, and one waits for the other",
    )
    vllm_flags: str = Field("", description="more flags for servers that chimed starts, e.g. --quantization fp8")

    perplexity_model: str = Field(
        "uer/gpt2-chinese-cluecorpussmall", description="Chinese GPT-2 (paper §3.2): hub name or folder"
    )
    base_checkpoint: str | None = Field(None, description="model to start training from, instead of the recipe's")
    exams: str | None = Field(
        None, description="folder of local exams, {dev,test}/<subject>.csv in CMMLU's columns; else the hub's"
    )

    evaluate_backend: Literal["hf", "vllm"] = Field(
        "hf", description="how models are evaluated: transformers (hf) or a vLLM server started for it"
    )
    evaluate_shots: int = Field(0, ge=0, le=5, description="examples before each exam question; part of the protocol")
    evaluate_template: Literal["none", "chat"] = Field(
        "none",
        description="how exam questions are put: as plain text (none) or by the model's chat template; part of the "
        "protocol",
    )

    recipe: str = Field("qwen3-1.7b", description="recipe to train if none is named")
    recipes: str | None = Field(
        None, description="folder with recipes of your own, beside those in train/recipes; also s3://<bucket>/<path>"
    )
    build_options: dict[str, Any] = Field(
        default_factory=dict, description='default options of every build, e.g. {"part_rows": 5000}'
    )
    max_parts: int = Field(
        1_000,
        ge=1,
        description="parts of a build at most, each a task of every stage: not above Airflow's [core] max_map_length",
    )

    compute: Literal["local", "kubernetes"] = Field("local", description="where GPU work runs")
    gpus: int = Field(
        8,
        ge=0,
        description="GPUs that chimed may use at a time: slots of the pool gpus of a new deployment; 0: there is none",
    )
    models_python: str = Field(
        str(PROJECT / ".venv-models" / "bin" / "python"),
        description="Python interpreter with torch, TRL, lm-eval and vLLM",
    )
    models_queue: str | None = Field(
        None, description="Celery queue of the worker that has the models' environment; empty: every worker has it"
    )
    scratch: str = Field(
        str(PROJECT / ".chimed" / "scratch"), description="local folder for process ids and logs of model servers"
    )
    llama_cpp: str | None = Field(
        None, description="folder of llama.cpp, whose converter chimed convert runs; empty: as the PATH has it"
    )
    require_approval: bool = Field(
        False,
        description="whether every build needs manual approval before its release, unless its form says otherwise",
    )
    notify: str | None = Field(
        None, description="mail addresses, separated by commas, to notify of failed runs (connection smtp_default)"
    )
    notify_webhook: SecretStr | None = Field(
        None, description="Slack-compatible webhook (Slack, Mattermost, Teams' workflows) that gets the same notices"
    )
    statsd: str | None = Field(
        None, pattern=r"^[\w.-]+(:\d{1,5})?$", description="host:port of a StatsD server that gets metrics; empty: none"
    )
    schedules: bool = Field(True, description="off: DAGs have no schedule and run only when triggered")
    train: bool = Field(True, description="whether a release starts training, where the build's form does not say")

    k8s_namespace: str = Field("chimed", description="namespace of GPU pods and model servers")
    k8s_image: str = Field(
        "chimed-gpu:0.1.0", description="image with the models' environment (Dockerfile's target gpu)"
    )
    k8s_gpu_product: str = Field(
        "NVIDIA-A40", description="value of the node label nvidia.com/gpu.product (paper: A40)"
    )
    k8s_pod_shards: int = Field(
        8, ge=1, description="shards whose perplexity one pod scores, so that the model is loaded once for all of them"
    )
    k8s_serve_gpus: int = Field(2, ge=1, description="GPUs of one model server")
    k8s_secret: str = Field(
        "chimed", description="secret whose keys become environment variables: store, lake credentials, API key"
    )
    k8s_service_account: str = Field("chimed", description="service account of the pods; its token is not mounted")
    k8s_volume: str | None = Field(None, description="volume claim mounted at /data, if the lake is a shared folder")
    k8s_models_volume: str | None = Field(
        None, description="volume claim for weights (HF_HOME), so that each is downloaded once, not by every pod"
    )
    k8s_storage: int = Field(
        200, ge=1, description="GiB of a node's disk that a training pod asks for; other pods take at most 80"
    )
    k8s_pull_secret: str | None = Field(None, description="secret with which the pods' image is pulled")
    k8s_priority_class: str | None = Field(None, description="priority class of GPU pods and model servers")

    @field_validator("statsd")
    @classmethod
    def _is_host_and_port(cls, said: str | None) -> str | None:
        if said and not 0 < int(said.partition(":")[2] or 8125) <= 65_535:
            raise PydanticCustomError("port", "its port is not one of 1 to 65535")
        return said

    @field_validator("llm_url", "judge_url", "replica")
    @classmethod
    def _is_address(cls, said: str | None) -> str | None:
        if not is_address(said or "http://none"):
            raise PydanticCustomError("address", "it is not an address such as http://host:8000/v1")
        return said

    @field_validator("models_queue")
    @classmethod
    def _is_one_queue(cls, said: str | None) -> str | None:
        if len(lists.words(said or "")) > 1:  # a worker takes such a name for two queues, and no task is sent to either
            raise PydanticCustomError("queue", "it names more than one queue")
        return said

    @field_validator("more_generators")
    @classmethod
    def _names_generators(cls, said: str) -> str:
        try:
            read_addresses(said)
        except ValueError as error:
            raise PydanticCustomError("generators", "{why}", {"why": str(error)}) from None
        return said


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises UserError for an invalid value, without showing the value, since it may be secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1]).upper()
        raise UserError(f"CHIMED_{name} has an invalid value: {first['msg']}; see docs/reference.md") from None
    except SettingsError as error:
        field = str(error).partition('field "')[2].partition('"')[0]
        raise UserError(f"CHIMED_{field.upper()} is not valid JSON; see docs/reference.md for its form") from None
