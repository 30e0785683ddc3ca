"""An Airflow of one machine, with the replica of the sites and the tiny models: `python -m chimed_airflow.local`."""
