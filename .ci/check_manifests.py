"""Checks rendered YAML: its objects are what Kubernetes knows, every pod keeps to the level *restricted*, and takes no
whole secret where it needs some of its keys.

    helm template airflow apache-airflow/airflow -f values.yaml | python3 .ci/check_manifests.py - cluster.yaml

The rules are those of the Pod Security Standards (Kubernetes 1.34), *baseline* included:
https://kubernetes.io/docs/concepts/security/pod-security-standards/. A namespace that enforces the level refuses a pod
that breaks one. Exit code 1 where something is wrong, with a line for each.
"""

import sys
from pathlib import Path

import kubernetes_validate
import yaml

VERSION = "1.34"
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
SYSCTLS = ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies")


def broken(spec: dict) -> list[str]:
    """Return the names of the rules that a pod's spec breaks."""
    found = [f"host namespaces: {name}" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for volume in spec.get("volumes") or []:
        found += [f"volume types: {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    pod = spec.get("securityContext") or {}
    if pod.get("seLinuxOptions") or pod.get("windowsOptions"):
        found.append("SELinux and Windows options")
    found += [f"sysctls: {one['name']}" for one in pod.get("sysctls") or [] if one["name"] not in SYSCTLS]
    containers = [*spec["containers"], *(spec.get("initContainers") or []), *(spec.get("ephemeralContainers") or [])]
    for one in containers:
        own = one.get("securityContext") or {}
        found += [f"{one['name']}: {rule}" for rule in _broken(own, pod)]
        found += [f"{one['name']}: host port" for port in one.get("ports") or [] if port.get("hostPort")]
    return found


def _broken(own: dict, pod: dict) -> list[str]:
    """Return the rules that a container's security context breaks, with the values that it inherits from its pod."""
    found = []
    if own.get("privileged"):
        found.append("privileged")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append("privilege escalation")
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []) or set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        found.append("capabilities")
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        found.append("running as non-root")
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        found.append("running as user 0")
    profile = (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        found.append("seccomp")
    if own.get("procMount", "Default") != "Default":
        found.append("proc mount")
    return found


def greedy(spec: dict) -> list[str]:
    """Return the containers of a pod that are given all keys of a secret."""
    containers = [*spec["containers"], *(spec.get("initContainers") or [])]
    whole = {
        one["name"]: [some["secretRef"]["name"] for some in one.get("envFrom") or [] if "secretRef" in some]
        for one in containers
    }
    return [f"{name}: takes all of the secret {secret}" for name, secrets in whole.items() for secret in secrets]


def pods(one: dict) -> list[dict]:
    """Return the specs of the pods that an object is or creates; Airflow's workers are a template in a ConfigMap."""
    if one["kind"] == "ConfigMap":
        files = [text for name, text in (one.get("data") or {}).items() if name.startswith("pod_template")]
        return [yaml.safe_load(text)["spec"] for text in files]
    spec = one.get("spec") or {}
    if one["kind"] == "Pod":
        return [spec]
    if one["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return [spec["template"]["spec"]] if isinstance(spec.get("template"), dict) and "spec" in spec["template"] else []


def wrong(text: str) -> list[str]:
    """Return the faults of the objects in a YAML file, one line each."""
    found = []
    for one in filter(None, yaml.safe_load_all(text)):
        name = f"{one['kind']} {one['metadata'].get('name')}"
        try:
            kubernetes_validate.validate(one, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name}: {error.message[:300]}")
        found += [f"{name}: {rule}" for spec in pods(one) for rule in [*broken(spec), *greedy(spec)]]
    return found


def main(files: list[str]) -> None:
    """Check files; - is what comes in."""
    said = [
        line for file in files for line in wrong(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    ]
    sys.exit("\n".join(said) if said else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
