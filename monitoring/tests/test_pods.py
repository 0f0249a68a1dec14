from monitoring.pods import pods_row


def test_every_panel_is_about_the_pods_of_the_workload_alone() -> None:
    row = pods_row("file-intake")
    assert [panel.title for panel in row.panels] == ["Pods", "CPU", "CPU throttling", "Memory by its limit"]
    for panel in row.panels:
        for expression in panel.queries:
            assert expression.count('"file-intake"') == expression.count("{")


def test_the_line_of_the_memory_is_where_the_alert_fires() -> None:
    (memory,) = (panel for panel in pods_row("x").panels if panel.title.startswith("Memory"))
    assert (memory.objective, memory.unit) == (0.9, "percentunit")
