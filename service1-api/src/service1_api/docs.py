"""GET /openapi.json, and /docs: a page that renders it and can call the routes."""

from importlib import resources

from flask import Blueprint, Response, abort

_MEDIA_TYPES = {"docs.js": "text/javascript", "docs.css": "text/css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def docs_routes() -> Blueprint:
    """Return the routes. The files are read once, from the package."""
    routes = Blueprint("docs", __name__)
    files = resources.files("service1_api") / "static"
    page = (files / "docs.html").read_bytes()
    assets = {name: (files / name).read_bytes() for name in _MEDIA_TYPES}
    document = (files / "openapi.json").read_bytes()

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, 200, _HEADERS, mimetype="application/json")

    @routes.get("/docs")
    def docs() -> Response:
        return Response(page, 200, _HEADERS, mimetype="text/html")

    @routes.get("/docs/<asset>")
    def docs_asset(asset: str) -> Response:
        if asset not in assets:
            abort(404)
        return Response(assets[asset], 200, _HEADERS, mimetype=_MEDIA_TYPES[asset])

    return routes
