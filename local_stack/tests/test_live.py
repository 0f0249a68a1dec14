from local_stack.live import Figures, figures, with_files

METRICS = """
# TYPE pillarbox_api_published_total counter
pillarbox_api_published_total 7.0
# TYPE pillarbox_api_rejections_total counter
pillarbox_api_rejections_total{code="unauthorized"} 2.0
pillarbox_api_rejections_total{code="invalid_data"} 1.0
# TYPE pillarbox_consumer_stored_total counter
pillarbox_consumer_stored_total 5.0
# TYPE pillarbox_consumer_invalid_total counter
pillarbox_consumer_invalid_total{reason="not_an_email"} 1.0
# TYPE pillarbox_consumer_queue_messages gauge
pillarbox_consumer_queue_messages{state="visible"} 3.0
pillarbox_consumer_queue_messages{state="in_flight"} 1.0
pillarbox_consumer_queue_messages{state="delayed"} 9.0
"""


def test_the_line_adds_up_both_services() -> None:
    assert figures(METRICS) == Figures(accepted=7, stored=5, waiting=4, failed=4)
    assert str(figures(METRICS)) == "accepted 7   stored 5   waiting 4   failed 4"


def test_files_are_counted_apart_and_shown_once_there_are_some() -> None:
    emails = Figures(accepted=7, stored=5, waiting=4, failed=4)
    both = with_files(emails, Figures(accepted=0, stored=3, waiting=2, failed=1))
    assert str(both) == "accepted 7   stored 5   waiting 6   failed 5   files 3"
    assert str(with_files(emails, Figures(0, 0, 0, 0))) == str(emails)


def test_a_service_that_has_counted_nothing_yet_shows_zeros() -> None:
    assert figures("") == Figures(0, 0, 0, 0)
