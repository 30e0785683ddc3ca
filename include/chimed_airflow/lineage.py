"""What a command reads and writes in the lake, as OpenLineage's datasets: a folder is one, named after the lake.

Airflow's provider asks a task's operator when the task is done, where `OPENLINEAGE_TRANSPORT` is set.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chimed.build import order
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed.storage import layout

Names = tuple[list[str], list[str]]  # folders of the lake that are read, and that are written
STARTS = {"sft": "cpt", "dpo": "sft", "kto": "sft", "orpo": "sft", "grpo": "dpo"}  # which phase each starts from


def folders(argv: list[str]) -> Names:
    """Return the folders of the lake that a command reads and writes; none for a command that only looks."""
    verb, first = argv[0], argv[1] if len(argv) > 1 else ""
    options = dict(part.removeprefix("--").split("=", 1) for part in argv if part.startswith("--") and "=" in part)
    if verb == "crawl":
        return [], [layout.raw(first)]
    if verb == "extract":
        return [layout.raw(first)], [layout.extracts(first)]
    if verb == "run" and "--build" in argv:
        build, before = argv[argv.index("--build") + 1], order.previous_stage(first)
        read = [layout.build(build, before.name)] if before else [layout.extracts(source) for source in source_names()]
        return read, [layout.release(build) if first == "release" else layout.build(build, first)]
    if verb in ("train", "evaluate") and {"release", "recipe"} <= options.keys():
        release, place = layout.release(options["release"]), layout.models(options["release"], options["recipe"])
        if verb == "evaluate":
            return ([f"{place}/{first}"] if first != "base" else []), [f"{place}/{first}/evaluation"]
        start = [f"{place}/{STARTS[first]}"] if first in STARTS else []
        return [release, *start], [f"{place}/{first}"]
    return [], []


def named(folder: str, lake: str) -> tuple[str, str]:
    """Return namespace and name of a folder of a lake, as OpenLineage names files and objects."""
    if "://" in lake:
        place = urlsplit(lake)
        return f"{place.scheme}://{place.netloc}", f"{place.path.strip('/')}/{folder}".strip("/")
    return "file", str(Path(lake).absolute() / folder)


def of_command(argv: list[str]) -> Any:
    """Return the OperatorLineage of a command."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    read, written = folders(argv)
    datasets = [[Dataset(*named(folder, settings().data)) for folder in some] for some in (read, written)]
    return OperatorLineage(inputs=datasets[0], outputs=datasets[1])
