"""The rules of the level *restricted* of the Pod Security Standards (Kubernetes 1.34), *baseline* included.

https://kubernetes.io/docs/concepts/security/pod-security-standards/: a namespace that enforces the level refuses
a pod that breaks one.
"""

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
SYSCTLS = ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies")


def broken(spec: dict) -> list[str]:
    """The rules that a pod's spec breaks, each by its name."""
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
    """What a container's security context breaks, with what it takes over from its pod's."""
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
