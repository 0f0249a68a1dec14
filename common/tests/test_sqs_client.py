"""The SQS client: what it sends, and that every failure is an SqsError with a short cause."""

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox_aws.credentials import CredentialsError
from pillarbox_aws.session import new_session
from pillarbox_aws.sqs_client import MALFORMED_REPLY, SqsClient, SqsError, batch_results, open_client

REGION = "eu-central-1"
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/emails"
PAYLOAD = {"QueueUrl": QUEUE_URL, "Entries": [{"Id": "0", "MessageBody": "\U0001f4ee"}]}


class FakeCredentials:
    def __init__(self) -> None:
        self.keys: ReadOnlyCredentials = Credentials("key", "secret", "token").get_frozen_credentials()
        self.error: CredentialsError | None = None

    def current(self) -> ReadOnlyCredentials:
        if self.error:
            raise self.error
        return self.keys


class Server(ThreadingHTTPServer):
    """Answers each POST with `status`, `headers` and `body`, or cuts or holds the connection."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a client that refuses the certificate breaks the connection."""

    def __init__(self) -> None:
        self.status, self.text, self.reply_headers = 200, "{}", dict[str, str]()
        self.cut = self.hold = False
        self.released = threading.Event()
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        if self.server.hold:
            self.server.released.wait(10)
        if self.server.cut or self.server.hold:
            self.close_connection = True
            return
        content = self.server.text.encode()
        self.send_response(self.server.status)
        for name, value in self.server.reply_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def client_at(url: str, credentials: FakeCredentials | None = None, queue_url: str = QUEUE_URL) -> SqsClient:
    return open_client(
        new_session(REGION),
        credentials or FakeCredentials(),
        queue_url,
        environ={"AWS_ENDPOINT_URL_SQS": url} if url else {},
        user_agent="test",
        connections=1,
        connect_seconds=1,
    )


def cause_of_call(client: SqsClient, read_seconds: float = 5) -> str:
    with pytest.raises(SqsError) as caught:
        client.call("SendMessageBatch", PAYLOAD, read_seconds=read_seconds)
    return caught.value.cause


def test_call_sends_the_same_request_as_boto3(server: Server) -> None:
    """The same request to the same path, and a signature over the same headers."""
    session = botocore.session.Session()
    theirs: Any = session.create_client(
        "sqs",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
    )
    server.text = '{"Successful": []}'
    theirs.send_message_batch(**PAYLOAD)
    client_at(server.url).call("SendMessageBatch", PAYLOAD, read_seconds=5)
    (path, their_headers, body), (our_path, our_headers, our_body) = server.asked
    assert (path, json.loads(body)) == (our_path, json.loads(our_body))
    for name in ("Host", "Content-Type", "X-Amz-Target", "x-amzn-query-mode", "X-Amz-Security-Token"):
        assert their_headers[name] == our_headers[name]
    signed = [
        headers["Authorization"].partition("SignedHeaders=")[2].split(",")[0]
        for headers in (their_headers, our_headers)
    ]
    assert signed[0] == signed[1]
    assert their_headers["Authorization"].split("/")[1:4] == our_headers["Authorization"].split("/")[1:4]


def test_each_call_is_signed_with_the_current_credentials(server: Server) -> None:
    credentials = FakeCredentials()
    client = client_at(server.url, credentials)
    client.call("ReceiveMessage", PAYLOAD, read_seconds=5)
    credentials.keys = Credentials("key", "secret", "fresh").get_frozen_credentials()
    client.call("ReceiveMessage", PAYLOAD, read_seconds=5)
    assert [headers["X-Amz-Security-Token"] for _, headers, _ in server.asked] == ["token", "fresh"]


@pytest.mark.parametrize(
    ("status", "text", "headers", "cause"),
    [
        (400, '{"__type":"com.amazonaws.sqs#ExpiredToken","message":"m"}', {}, "ExpiredToken"),
        (403, '{"__type":"AccessDenied"}', {}, "AccessDenied"),
        (
            400,
            '{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}',
            {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"},
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
        (502, "", {}, "HTTP 502"),
        (503, "<html>Service Unavailable</html>", {}, "HTTP 503"),
        (500, '{"__type":null}', {}, "HTTP 500"),
        (500, "[1]", {}, "HTTP 500"),
        (301, "{}", {"Location": "http://127.0.0.1:1/"}, "HTTP 301"),
        (200, "<html>Please log in</html>", {}, MALFORMED_REPLY),
        (200, "", {}, MALFORMED_REPLY),
        (200, "{", {}, MALFORMED_REPLY),
        (200, "null", {}, MALFORMED_REPLY),
        (200, "[]", {}, MALFORMED_REPLY),
        (200, "3", {}, MALFORMED_REPLY),
    ],
)
def test_unsuccessful_reply_raises_with_its_cause(
    server: Server, status: int, text: str, headers: dict[str, str], cause: str
) -> None:
    server.status, server.text, server.reply_headers = status, text, headers
    assert cause_of_call(client_at(server.url)) == cause


def test_broken_or_silent_connection_raises(server: Server) -> None:
    server.cut = True
    assert cause_of_call(client_at(server.url)) == "ProtocolError"
    server.hold = True
    assert cause_of_call(client_at(server.url), read_seconds=0.1) == "ReadTimeoutError"


def test_refused_connection_raises() -> None:
    assert cause_of_call(client_at("http://127.0.0.1:1")) == "NewConnectionError"


def test_missing_credentials_raise_sqs_error(server: Server) -> None:
    credentials = FakeCredentials()
    credentials.error = CredentialsError("InvalidIdentityToken")
    assert cause_of_call(client_at(server.url, credentials)) == "credentials: InvalidIdentityToken"
    assert server.asked == []


def test_url_of_the_queue_is_the_default_endpoint(server: Server) -> None:
    client_at("", queue_url=f"{server.url}/123456789012/emails").call("ReceiveMessage", PAYLOAD, read_seconds=5)
    assert [path for path, _, _ in server.asked] == ["/"]


def test_environment_proxy_is_used_with_its_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:hush@"))
    client_at("http://sqs.example.com").call("ReceiveMessage", PAYLOAD, read_seconds=5)
    ((path, headers, _),) = server.asked
    assert path == "http://sqs.example.com/"
    assert headers["Host"] == "sqs.example.com"
    assert headers["Proxy-Authorization"] == "Basic bWU6aHVzaA=="


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_path, key_path


def test_ca_bundle_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate_path, key_path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_path, key_path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    assert cause_of_call(client_at(url)) == "SSLError"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate_path))
    assert client_at(url).call("ReceiveMessage", PAYLOAD, read_seconds=5) == {}


def test_unreadable_ca_bundle_raises_when_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(OSError, match="No such file"):
        client_at("https://sqs.example.com")
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        client_at("https://sqs.example.com")


# ---- batch replies --------------------------------------------------------------------------------------------------


def test_each_entry_has_its_own_result_in_any_order_of_the_reply() -> None:
    reply = {"Successful": [{"Id": "3"}, {"Id": "0"}], "Failed": [{"Id": "2", "Code": "InternalError"}]}
    assert batch_results(reply, 4) == [None, "not_confirmed", "InternalError", None]


def test_entry_both_confirmed_and_failed_is_failed() -> None:
    reply = {"Successful": [{"Id": "0"}], "Failed": [{"Id": "0", "Code": "InternalError"}]}
    assert batch_results(reply, 1) == ["InternalError"]


@pytest.mark.parametrize(
    "reply",
    [
        {"Successful": {}},
        {"Successful": [None]},
        {"Successful": [{}]},
        {"Successful": [{"Id": 0}]},
        {"Successful": [{"Id": "-1"}]},
        {"Successful": [{"Id": "2"}]},
        {"Successful": [{"Id": ["0"]}]},
        {"Failed": [{"Id": "0"}]},
        {"Failed": [{"Id": "0", "Code": None}]},
        {"Failed": [{"Code": "InternalError"}]},
        {"Failed": "all"},
    ],
    ids=str,
)
def test_malformed_batch_reply_raises(reply: dict[str, Any]) -> None:
    with pytest.raises(SqsError, match=MALFORMED_REPLY):
        batch_results(reply, 2)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["0", "1", "-1"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["Id", "Code", "Successful", "Failed"]), inner)
    ),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["Successful", "Failed", "other"]), json_values))
def test_any_json_reply_raises_or_returns_a_result_for_each_entry(reply: dict[str, Any]) -> None:
    try:
        results = batch_results(reply, 2)
    except SqsError:
        return
    assert [isinstance(result, str | None) for result in results] == [True, True]
