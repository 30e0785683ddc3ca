"""Objects of a cluster that a run makes and takes away again; both may be done twice.

A task that was cleared, or tried again after it was killed, finds what it made before: it is brought to what it should
be. What is gone already is gone. Imported only where CHIMED_SERVE=kubernetes: the kubernetes client takes seconds.
"""

from typing import Any

from airflow.providers.cncf.kubernetes.operators.resource import (
    KubernetesCreateResourceOperator,
    KubernetesDeleteResourceOperator,
)
from airflow.providers.cncf.kubernetes.utils.delete_from import FailToDeleteError
from kubernetes.utils import create_from_yaml

GONE = 404


class ApplyResource(KubernetesCreateResourceOperator):
    """Makes the objects of `yaml_conf`, or changes those that are there (server-side apply)."""

    def _create_objects(self, objects: Any) -> None:
        create_from_yaml(k8s_client=self.client, yaml_objects=list(objects), namespace=self.get_namespace(), apply=True)


class RemoveResource(KubernetesDeleteResourceOperator):
    """Deletes the objects of `yaml_conf`. Raises FailToDeleteError for any reason but that one is gone already."""

    def _delete_objects(self, objects: Any) -> None:
        try:
            super()._delete_objects(objects)
        except FailToDeleteError as error:
            if any(one.status != GONE for one in error.api_exceptions):
                raise
            self.log.info("it is gone already")
