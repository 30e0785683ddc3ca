"""What each command of a DAG reads and writes, as OpenLineage gets it."""

import pytest

pytestmark = pytest.mark.slow  # importing Airflow takes seconds

BUILD = ["--build", "2026.11.23", "--shard", "3"]
ON = ["--recipe=qwen3-14b", "--release=2026.11.23"]
MODELS = "models/2026.11.23/qwen3-14b"


@pytest.mark.parametrize(
    ("command", "read", "written"),
    [
        (["crawl", "ask39", "--crawl=2026-11-16"], [], ["raw/ask39"]),
        (["extract", "ask39", "--crawl=2026-11-16"], ["raw/ask39"], ["extracts/ask39"]),
        (["run", "filter", *BUILD], ["builds/2026.11.23/perplexity"], ["builds/2026.11.23/filter"]),
        (["run", "release", *BUILD], ["builds/2026.11.23/decontaminate"], ["releases/2026.11.23"]),
        (["train", "cpt", *ON], ["releases/2026.11.23"], [f"{MODELS}/cpt"]),
        (["train", "dpo", *ON], ["releases/2026.11.23", f"{MODELS}/sft"], [f"{MODELS}/dpo"]),
        (["evaluate", "sft", *ON], [f"{MODELS}/sft"], [f"{MODELS}/sft/evaluation"]),
        (["ledger", "2026.11.23", "--json"], [], []),
        (["serve", "up"], [], []),
    ],
)
def test_a_command_reads_and_writes(command, read, written) -> None:
    from chimed_airflow.lineage import folders

    assert folders(command) == (read, written)


def test_the_first_stage_reads_every_site(monkeypatch) -> None:
    from chimed.settings import settings
    from chimed.sources import names
    from chimed_airflow.tasks import ChimedOperator

    monkeypatch.setenv("CHIMED_DATA", "s3://chimed/lake")
    settings.cache_clear()
    task = ChimedOperator(task_id="extract", command=["run", "extract", *BUILD])
    found = task.get_openlineage_facets_on_complete(None)
    settings.cache_clear()
    assert {one.namespace for one in [*found.inputs, *found.outputs]} == {"s3://chimed"}
    assert [one.name for one in found.inputs] == [f"lake/extracts/{source}" for source in names()]
    assert [one.name for one in found.outputs] == ["lake/builds/2026.11.23/extract"]
