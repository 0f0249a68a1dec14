"""The floor: a Flask route that returns a constant."""

from flask import Flask

app = Flask(__name__)


@app.post("/api/message")
def message() -> str:
    """Read nothing, check nothing, send nothing."""
    return "ok"
