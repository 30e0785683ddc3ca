"""Processes that begin with everything imported: one fork server for all test modules of a run.

Whatever a test's process would import first is imported once, in the server: a crawl takes half the time so. A module
that is not in this environment is passed over.
"""

import multiprocessing
import os
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import forkserver, util
from multiprocessing.process import BaseProcess

from chimed.settings import PROJECT

COMMANDS = [
    *("chimed.__main__", "alembic.command", "alembic.config", "sqlite3", "typer._adapters", "typer._click.decorators"),
    *("fsspec.implementations.local", "pyarrow.compute", "polars", "time_machine"),
    *("chimed.build.builds", "chimed.pipeline.runner", "chimed.storage.lease", "chimed.storage.store"),
    *(f"chimed.stages.{name}" for name in ("extract", "clean", "dedup", "filter", "decontaminate", "release")),
]
# all that a crawl imports but Twisted's reactor, of which a process makes its own
CRAWLS = [
    *("chimed.crawl.crawl", "queuelib.pqueue", "queuelib.queue", "queuelib.rrqueue", "encodings.idna", "uvloop"),
    *("scrapy.dupefilters", "scrapy.logformatter", "scrapy.pqueues", "scrapy.squeues", "scrapy.statscollectors"),
    *(
        f"scrapy.downloadermiddlewares.{name}"
        for name in ("defaultheaders", "downloadtimeout", "httpproxy", "retry", "useragent")
    ),
    *(f"chimed.sources.{name}" for name in ("ask39", "ask120", "cnkang", "zhongyoo", "zydcd")),
    "support.websites",
]
TRAINING = [
    *(f"trl.trainer.{phase}_trainer" for phase in ("sft", "dpo", "kto", "grpo")),
    *("transformers.models.qwen3.modeling_qwen3", "transformers.models.gpt2.modeling_gpt2", "peft"),
    *("chimed.train.arguments", "chimed.train.loop", "chimed.stages.perplexity", "chimed.text.perplexity_model"),
    "support.runs",
]

util.get_temp_dir()  # here and now: not in a folder of one test, which is gone when the run ends
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*COMMANDS, *(TRAINING if find_spec("torch") else CRAWLS)])


def started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that calls `target`."""
    _begin()
    process = _context.Process(target=target, args=arguments)
    process.start()
    return process


def _begin() -> None:
    """Start the server, if it does not run: it finds modules by the environment, not by this process's own path."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "tests")])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
