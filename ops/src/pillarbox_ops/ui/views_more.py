"""The figures of the last minutes, the form to send an e-mail, and the keys of the keyboard."""

from collections.abc import Sequence

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from pillarbox.ids import new_message_id, parse_idempotency_key, time_of
from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui import sampler, series
from pillarbox_ops.ui.plots import HEIGHT, WIDTH, Plot, plot
from pillarbox_ops.ui.posting import FIELDS, Answer, post
from pillarbox_ops.ui.series import Reading
from pillarbox_ops.ui.services import Services


def more_views(services: Services) -> Blueprint:
    """Return the views."""
    views = Blueprint("more", __name__)

    @views.get("/figures")
    def figures() -> str:
        readings = services.sampler.readings()
        slots = sampler.KEPT - 1
        latest = readings[-1] if readings else None
        template = "part_figures.html" if "part" in request.args else "figures.html"
        return render_template(
            template,
            plots=_plots(readings, slots),
            latest=latest,
            sampler=services.sampler,
            width=WIDTH,
            height=HEIGHT,
            minutes=int(slots * sampler.EVERY_SECONDS // 60),
        )

    @views.get("/send")
    def form() -> str:
        return render_template("send.html", values={}, problems={}, message_id=new_message_id())

    @views.post("/send")
    def send() -> Response | tuple[str, int]:
        values = {name: request.form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
        message_id = _message_id(services)
        try:
            answer = _sent(services, values, message_id)
        except OpsError as exc:
            answer = Answer(problems={"": str(exc)})
        if answer.problems is None:
            return redirect(url_for("email.email", id=answer.message_id), 303)
        page = render_template("send.html", values=values, problems=answer.problems, message_id=message_id)
        return page, 400

    @views.get("/keys")
    def keys() -> str:
        return render_template("keys.html")

    return views


def _plots(readings: Sequence[Reading], slots: int) -> list[Plot]:
    accepted = series.rate("accepted", readings, lambda reading: reading.accepted)
    stored = series.rate("stored", readings, lambda reading: reading.stored)
    waiting = series.level("waiting", readings, lambda reading: reading.waiting)
    in_flight = series.level("in flight", readings, lambda reading: reading.in_flight)
    quantiles = [series.quantile("median", readings, 0.5), series.quantile("95 %", readings, 0.95)]
    return [
        plot("Throughput", "/s", [accepted, stored], slots),
        plot("Queue", "", [waiting, in_flight], slots),
        plot("Latency, from sent to stored", "s", quantiles, slots),
    ]


def _message_id(services: Services) -> str:
    """Return the id that the form was given, or a new one if the API would refuse it, as after two weeks."""
    try:
        return parse_idempotency_key(request.form.get("message_id", ""), services.now())
    except ValueError:
        return new_message_id()


def _sent(services: Services, values: dict[str, str], message_id: str) -> Answer:
    token = request.form.get("token", "") or services.target.api_token
    if not token:
        return Answer(problems={"token": "API_TOKEN is not set, so the form needs a token"})
    # The time of the id, not of this request: a form that is sent again has to be the same e-mail.
    fields = {**values, "email_timestream": str(int(time_of(message_id).timestamp()))}
    return post(services.target.need("api_url"), token, fields, message_id)
