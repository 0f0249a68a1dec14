"""Every metric of service1-api, in one list: what can be graphed and alerted on."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that no alert needs


class Metrics:
    """The metrics, each an attribute. With several workers, gauges are summed unless they say otherwise."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)

        self.requests_total = counter("pillarbox_api_requests_total", "Requests answered", ["route", "status"])
        help_text = "Rejections by the code of the problem: requests, and items of batches that were queued in part"
        self.rejections_total = counter("pillarbox_api_rejections_total", help_text, ["code"])
        buckets = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
        help_text = "Time from a complete request to its response"
        self.request_seconds = histogram("pillarbox_api_request_seconds", help_text, ["route"], buckets=buckets)
        help_text = "E-mail requests being handled"
        self.requests_in_flight = gauge("pillarbox_api_requests_in_flight", help_text, multiprocess_mode="livesum")

        self.published_total = counter("pillarbox_api_published_total", "E-mails that SQS has confirmed")
        help_text = "E-mails that SQS did not confirm, by cause"
        self.publish_failures_total = counter("pillarbox_api_publish_failures_total", help_text, ["cause"])
        help_text = "Time of one call to SQS, retries included"
        self.publish_seconds = histogram("pillarbox_api_publish_seconds", help_text, buckets=(0.0025, *buckets))
        help_text = "E-mails in one call to SQS"
        self.publish_batch_size = histogram("pillarbox_api_publish_batch_size", help_text, buckets=range(1, 11))
        help_text = "Calls to SQS in flight"
        self.publish_in_flight = gauge("pillarbox_api_publish_in_flight", help_text, multiprocess_mode="livesum")
        help_text = "E-mails that wait for the next call to SQS"
        self.publish_waiting = gauge("pillarbox_api_publish_waiting", help_text, multiprocess_mode="livesum")

        help_text = "Requests allowed because the store of the rate limit failed"
        self.rate_limit_failures_total = counter("pillarbox_api_rate_limit_failures_total", help_text)

        help_text = "Time since the token was last read from SSM; above the cache time it is stale"
        self.token_age_seconds = gauge("pillarbox_api_token_age_seconds", help_text, multiprocess_mode="livemax")
        help_text = "Reads of the token from SSM"
        self.token_refreshes_total = counter("pillarbox_api_token_refreshes_total", help_text, ["outcome"])
