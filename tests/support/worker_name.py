"""Two workers of one machine need two names: Airflow's `[core] hostname_callable` in the tests of a cluster."""

import os


def name() -> str:
    """The worker's name, as its starter put it into the environment."""
    return os.environ.get("CHIMED_TEST_WORKER", "one-machine")
