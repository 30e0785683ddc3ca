"""Follows a pod without a worker, and writes into the pod until when it is followed, so that the cluster's own job can
tell the pods of a living Airflow from those that nobody waits for (`leftovers`)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio.client import CoreV1Api

from chimed_airflow.manifests import FOLLOWED, KEEP_UNTIL, followed_until

RENEW = 300.0  # seconds between two renewals; a twelfth of FOLLOWED


class FollowedPodTrigger(KubernetesPodTrigger):
    """Airflow's trigger for a pod, Pending or Running, which renews the time until when the pod may be there."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return where the triggerer finds this class, and its arguments."""
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield what becomes of the pod; see `KubernetesPodTrigger`."""
        renewing = asyncio.create_task(self._renew())
        try:
            async for event in super().run():
                yield event
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        while True:
            try:
                await self._renew_once()
            except Exception as error:  # the next one may succeed; a pod has twelve times as long
                self.log.warning("until when pod %s is followed was not renewed: %s", self.pod_name, error)
            await asyncio.sleep(RENEW)

    async def _renew_once(self) -> None:
        """Put off the time in the pod, unless that was done lately: a trigger lives for half a minute at a time."""
        pod = await self.hook.get_pod(name=self.pod_name, namespace=self.pod_namespace)
        said = (pod.metadata.annotations or {}).get(KEEP_UNTIL)
        left = datetime.fromisoformat(said) - datetime.now(UTC) if said else None
        if left is not None and (FOLLOWED - left).total_seconds() < RENEW:
            return
        body = {"metadata": {"annotations": {KEEP_UNTIL: followed_until()}}}
        async with self.hook.get_conn() as connection:
            patch: Any = CoreV1Api(
                connection
            ).patch_namespaced_pod  # its stub does not know how to name a kind of patch
            await patch(self.pod_name, self.pod_namespace, body, _content_type="application/merge-patch+json")
