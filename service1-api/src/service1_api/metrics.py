"""Every metric of service1-api, in one list: what can be graphed and alerted on."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that no alert asks for


class Metrics:
    """The metrics, each an attribute; the modes say how the workers of a pod are added up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests_total = Counter(
            "pillarbox_api_requests_total", "Requests answered", ["route", "status"], registry=registry
        )
        self.rejections_total = Counter(
            "pillarbox_api_rejections_total",
            "Refusals by the code of the problem: requests, and items of batches that were queued in part",
            ["code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "pillarbox_api_request_seconds",
            "Time from a whole request to its answer",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.requests_in_flight = Gauge(
            "pillarbox_api_requests_in_flight",
            "E-mail requests being handled",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.published_total = Counter(
            "pillarbox_api_published_total", "E-mails that SQS has confirmed", registry=registry
        )
        self.publish_failures_total = Counter(
            "pillarbox_api_publish_failures_total",
            "E-mails that SQS did not confirm, by cause",
            ["cause"],
            registry=registry,
        )
        self.publish_seconds = Histogram(
            "pillarbox_api_publish_seconds",
            "Time of one call to SQS, retries included",
            buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.publish_batch_size = Histogram(
            "pillarbox_api_publish_batch_size",
            "E-mails that travel in one call to SQS",
            buckets=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
            registry=registry,
        )
        self.publish_in_flight = Gauge(
            "pillarbox_api_publish_in_flight", "Calls to SQS in flight", multiprocess_mode="livesum", registry=registry
        )
        self.publish_waiting = Gauge(
            "pillarbox_api_publish_waiting",
            "E-mails that wait for the next call to SQS",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.rate_limit_failures_total = Counter(
            "pillarbox_api_rate_limit_failures_total",
            "Requests let through because the store of the rate limit failed",
            registry=registry,
        )
        self.token_age_seconds = Gauge(
            "pillarbox_api_token_age_seconds",
            "Time since the token was last read from SSM; above the cache time it is served stale",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.token_refreshes_total = Counter(
            "pillarbox_api_token_refreshes_total", "Reads of the token from SSM", ["outcome"], registry=registry
        )
