"""The PromQL expressions that the dashboards share."""


def rate(metric: str, by: str, selector: str) -> str:
    """Return the sum, by a label, of how fast a counter grows, a second."""
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def total(metric: str, selector: str) -> str:
    """Return how fast a counter grows in all pods together, a second."""
    return f"sum(rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(share: float, metric: str, selector: str) -> str:
    """Return a quantile of a histogram over all pods together."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"
