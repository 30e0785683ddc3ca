"""The assets that tie the DAGs together: each site's records, partitioned by week, and the releases, by version."""

from functools import cache

from airflow.sdk import Asset

from chimed.sources import names as source_names

RELEASE = Asset(name="release", uri="chimed://release", group="chimed")


@cache
def records() -> dict[str, Asset]:
    """Return each site's records as an asset."""
    return {
        source: Asset(name=f"records_{source}", uri=f"chimed://records/{source}", group="chimed")
        for source in source_names()
    }
