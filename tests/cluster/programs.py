"""The command lines of the control plane's programs, which run in the folder of their certificates and data."""

from collections.abc import Mapping, Sequence

# In the order of their start.
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "metrics-server")
PORTS = (*PROGRAMS, "etcd-peer")
Ports = Mapping[str, int]


def arguments_of(program: str, ports: Ports) -> Sequence[str]:
    """Return the arguments of a program."""
    listening = ("--bind-address=127.0.0.1", f"--secure-port={ports[program]}")
    match program:
        case "etcd":
            return _etcd(ports)
        case "kube-apiserver":
            return (*listening, *_apiserver(ports))
        case "kube-controller-manager":
            return (*listening, *_access(program), "--leader-elect=false", *_CONTROLLER_MANAGER)
        case "kube-scheduler":
            return (*listening, *_access(program), "--leader-elect=false")
        case "kwok":
            return _kwok(ports)
        case "metrics-server":
            return (*listening, *_access("admin"), *_METRICS_SERVER)
    raise ValueError(program)


def _access(user: str) -> Sequence[str]:
    options = ("--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig")
    return [f"{option}={user}.conf" for option in options]


def _etcd(ports: Ports) -> Sequence[str]:
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    return (
        "--name=one",
        "--data-dir=etcd",
        "--unsafe-no-fsync",  # the data is needed only during the tests
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=one={peer}",
    )


def _apiserver(ports: Ports) -> Sequence[str]:
    return (
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        "--tls-cert-file=apiserver.crt",
        "--tls-private-key-file=apiserver.key",
        "--token-auth-file=tokens.csv",
        "--client-ca-file=apiserver.crt",  # no client has a certificate, but the other programs require the setting
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-accounts.key",
        "--service-account-signing-key-file=service-accounts.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # 127.0.0.1 is not a valid endpoint of a Service
        # The aggregation layer, for metrics-server: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
        "--requestheader-client-ca-file=front-proxy.crt",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--proxy-client-cert-file=front-proxy.crt",
        "--proxy-client-key-file=front-proxy.key",
        "--profiling=false",
    )


_CONTROLLER_MANAGER = (
    "--service-account-private-key-file=service-accounts.key",
    "--root-ca-file=apiserver.crt",
    "--use-service-account-credentials",
    # The HorizontalPodAutoscaler decides in seconds instead of minutes.
    "--horizontal-pod-autoscaler-sync-period=2s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=2s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=5s",
)

_METRICS_SERVER = (
    "--cert-dir=metrics-server",
    "--kubelet-insecure-tls",
    "--kubelet-use-node-status-port",
    "--kubelet-preferred-address-types=InternalIP",
    "--metric-resolution=10s",  # the minimum; the next one must be shorter
    "--kubelet-request-timeout=5s",
)


def _kwok(ports: Ports) -> Sequence[str]:
    return (
        "--kubeconfig=admin.conf",
        "--manage-all-nodes",
        "--node-ip=127.0.0.1",
        f"--node-port={ports['kwok']}",
        f"--server-address=127.0.0.1:{ports['kwok']}",
        "--enable-crds=Stage,Metric,ClusterResourceUsage",
        "--tls-cert-file=apiserver.crt",
        "--tls-private-key-file=apiserver.key",
    )
