"""The row of a workload's pods, which each of its dashboards ends with."""

from monitoring.panels import CHOSEN, Panel, Row
from monitoring.queries import rate

_NEAR_LIMIT = 0.9  # as the alert MemoryNearLimit


def pods_row(workload: str) -> Row:
    """Return the panels of a workload's pods; its Deployment and its container have one name."""
    container = f'container="{workload}",namespace=~"$namespace"'
    available = f'kube_deployment_status_replicas_available{{deployment="{workload}",namespace=~"$namespace"}}'
    cpu = rate("process_cpu_seconds_total", "pod", f'container="{workload}",{CHOSEN}')
    throttled = rate("container_cpu_cfs_throttled_periods_total", "pod", container)
    periods = rate("container_cpu_cfs_periods_total", "pod", container)
    used = f"max by (pod) (container_memory_working_set_bytes{{{container}}})"
    limit = f'max by (pod) (kube_pod_container_resource_limits{{resource="memory",{container}}})'
    return Row(
        "Pods",
        [
            Panel("Pods", "short", {available: "available"}, "None is normal where KEDA scales to zero.", width=6),
            Panel("CPU", "short", {cpu: "{{pod}}"}, "Cores in use.", width=6),
            Panel(
                "CPU throttling",
                "percentunit",
                {f"{throttled} / {periods}": "{{pod}}"},
                "Share of the scheduler's periods in which the pod had used up its CPU limit.",
                width=6,
            ),
            Panel(
                "Memory by its limit",
                "percentunit",
                {f"{used} / on (pod) {limit}": "{{pod}}"},
                "The kernel kills a container at 100 %. MemoryNearLimit fires above the line.",
                _NEAR_LIMIT,
                width=6,
                maximum=1,
            ),
        ],
    )
