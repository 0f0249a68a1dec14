"""The figures of the last minutes, the form to send an e-mail, and the keys of the keyboard."""

from collections.abc import Sequence

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

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
        return render_template("send.html", values={}, problems={})

    @views.post("/send")
    def send() -> Response | tuple[str, int]:
        values = {name: request.form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
        try:
            answer = _sent(services, values)
        except OpsError as exc:
            answer = Answer(problems={"": str(exc)})
        if answer.problems is None:
            return redirect(url_for("email.email", id=answer.message_id), 303)
        return render_template("send.html", values=values, problems=answer.problems), 400

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


def _sent(services: Services, values: dict[str, str]) -> Answer:
    token = request.form.get("token", "") or services.target.api_token
    if not token:
        return Answer(problems={"token": "API_TOKEN is not set, so the form needs a token"})
    fields = {**values, "email_timestream": str(int(services.now().timestamp()))}
    return post(services.target.need("api_url"), token, fields)
