"""Addresses that hold a password, put together from their parts and quoted: Airflow reads them from this program.

    python include/chimed_airflow/addresses.py metadata | results | broker

A password with a stroke or an @ in it, pasted into an address, makes another address of it. It is run as a file, at the
start of every component, so it imports nothing of ours.
"""

import os
import sys
from urllib.parse import quote


def address(what: str, variables: dict[str, str]) -> str:
    """Airflow's own database, where Celery keeps results, or its queue. Raises KeyError for a password not given."""
    if what == "broker":
        return f"redis://:{quote(variables['REDIS_PASSWORD'], safe='')}@redis:6379/0"
    database = f"postgresql+psycopg2://airflow:{quote(variables['AIRFLOW_DB_PASSWORD'], safe='')}@postgres/airflow"
    return {"metadata": database, "results": f"db+{database}"}[what]


if __name__ == "__main__":
    # without a line's end: Airflow takes what is printed as it is, and would look for a database of that name
    sys.stdout.write(address(sys.argv[1], dict(os.environ)))
