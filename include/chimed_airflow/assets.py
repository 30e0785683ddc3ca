"""The assets that tie the DAGs together: each site's records, partitioned by week, and the releases, by version."""

from airflow.sdk import Asset

from chimed.sources import NAMES as SOURCES

RECORDS = {
    source: Asset(name=f"records_{source}", uri=f"chimed://records/{source}", group="chimed") for source in SOURCES
}
RELEASE = Asset(name="release", uri="chimed://release", group="chimed")
