"""Who may use the page: requests of this machine's browser that know the secret of its address, and no other page's.

A page of another origin can neither read nor write: the Host has to be a name of loopback (DNS rebinding), a browser
has to say that the request comes from this page (https://www.w3.org/TR/fetch-metadata/), and a POST needs a token.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from flask import Flask, Response, g, make_response, redirect, render_template, request
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as AnyResponse

OPEN_ENDPOINTS = frozenset({"login", "ready", "static"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# For the HTML of an e-mail. An opaque origin, no script, no form, no load: only its own styles and pictures.
EMAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; sandbox"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HOURS = 12
_DEFAULT_PORT = 80


@dataclass(frozen=True)
class Access:
    """The secret of one process. Cookie and form token derive from it, so neither tells the address."""

    port: int
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def cookie_name(self) -> str:
        """Return the name of the cookie; cookies do not know ports, so it has the port."""
        return f"pillarbox-{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Return the values of Host that lead here."""
        # 80 is the default of HTTP (RFC 9110, section 4.2.1): browsers and werkzeug leave it out.
        ends = (f":{self.port}", "") if self.port == _DEFAULT_PORT else (f":{self.port}",)
        return frozenset(name + end for name in ("127.0.0.1", "localhost", "[::1]") for end in ends)

    def address(self, host: str = "127.0.0.1") -> str:
        """Return the address to open. It contains the secret."""
        return f"http://{host}:{self.port}/login?token={self.secret}"

    def derived(self, purpose: str) -> str:
        """Return the token for a purpose."""
        return hmac.new(self.secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def accepts(self, given: str, expected: str) -> bool:
        """Return whether a token is the expected one, in constant time."""
        return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def guard(app: Flask, access: Access) -> None:
    """Check each request of an app before its view, add the headers of safety, and add the route `login`."""

    app.jinja_env.globals["csrf"] = lambda: access.derived("form")

    @app.before_request
    def check() -> AnyResponse | None:
        problem = refusal(access, request.endpoint, request.method, request.headers, request.host)
        if problem:
            return _refused(403, problem)
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        if not access.accepts(request.cookies.get(access.cookie_name, ""), access.derived("cookie")):
            return _refused(401, "This page needs the full address that `pillarbox ui` or `make run` printed.")
        if request.method == "POST" and not access.accepts(request.form.get("csrf", ""), access.derived("form")):
            return _refused(403, "The form is from an earlier run of this program. Go back and reload the page.")
        return None

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = g.get("policy", POLICY)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if request.endpoint == "static":
            response.headers["Cache-Control"] = "no-cache"
        return response

    _routes(app, access)


def _routes(app: Flask, access: Access) -> None:
    @app.get("/login")
    def login() -> AnyResponse:
        if not access.accepts(request.args.get("token", ""), access.secret):
            return _refused(401, "The token in the address is from an earlier run. Use the latest address.")
        # The page continues by itself: a redirect would still count as coming from where the link was.
        response = make_response(render_template("login.html"))
        response.set_cookie(
            access.cookie_name, access.derived("cookie"), max_age=_HOURS * 3600, httponly=True, samesite="Strict"
        )
        return response

    @app.get("/ready")
    def ready() -> AnyResponse:
        return make_response({"status": "ready"})

    @app.post("/logout")
    def logout() -> AnyResponse:
        response = redirect("/", 303)
        response.delete_cookie(access.cookie_name)
        return response


def refusal(access: Access, endpoint: str | None, method: str, headers: Headers, host: str) -> str | None:
    """Return why a request is refused before it is looked at; None if it is not."""
    if host not in access.hosts:
        return "The Host header does not belong to this page: open it as 127.0.0.1 or localhost."
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if endpoint != "login" and site not in (None, "same-origin", "none"):
        return "The request comes from a page of another origin. Open the address in a new tab."
    # For its own form a page without a referrer sends `Origin: null`; so does a frame without an origin, whose site
    # is another one.
    is_own = origin is not None and origin.removeprefix("http://") in access.hosts
    if not (is_own or origin is None or (origin == "null" and site == "same-origin")):
        return "The request comes from a page of another origin."
    if method == "POST" and not (is_own or site == "same-origin"):
        return "The request does not say which page it comes from."
    return None


def _refused(status: int, text: str) -> AnyResponse:
    return make_response(render_template("refused.html", text=text), status)
