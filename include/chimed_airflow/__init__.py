"""All that knows Airflow: how a `chimed` command becomes a task, a pod, a model server, a page, an embedded Airflow."""
