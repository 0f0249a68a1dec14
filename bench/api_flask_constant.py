"""The lower limit of the cost: a Flask route that returns a constant."""

from flask import Flask

app = Flask(__name__)


@app.post("/api/message")
def message() -> str:
    """Return a constant without reading the request."""
    return "ok"
