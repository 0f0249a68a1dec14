from monitoring.queries import quantile, rate, total


def test_a_rate_is_summed_after_it_was_taken_over_the_interval_that_grafana_chooses() -> None:
    assert rate("m_total", "pod", 'a="b"') == 'sum by (pod) (rate(m_total{a="b"}[$__rate_interval]))'
    assert total("m_total", 'a="b"') == 'sum(rate(m_total{a="b"}[$__rate_interval]))'


def test_a_quantile_is_taken_over_the_buckets_of_all_pods() -> None:
    buckets = 'sum by (le) (rate(m_bucket{a="b"}[$__rate_interval]))'
    assert quantile(0.99, "m", 'a="b"') == f"histogram_quantile(0.99, {buckets})"
