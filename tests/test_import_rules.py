"""The import rules of docs/architecture.md, checked in the source."""

import ast
import functools
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = {
    "pillarbox": REPOSITORY / "common/src/pillarbox",
    "pillarbox_aws": REPOSITORY / "common/src/pillarbox_aws",
    "pillarbox_otel": REPOSITORY / "common/src/pillarbox_otel",
    "service1_api": REPOSITORY / "service1-api/src/service1_api",
    "service2_consumer": REPOSITORY / "service2-consumer/src/service2_consumer",
    "pillarbox_ops": REPOSITORY / "ops/src/pillarbox_ops",
}
AWS_LIBRARIES = {"boto3", "botocore", "obstore", "s3transfer"}
MAY_IMPORT_AWS = {
    "service1_api": {"wsgi", "aws"},
    "service2_consumer": {"wiring", "s3", "s3_source"},
    "pillarbox": set[str](),
    "pillarbox_aws": {"session", "credentials", "sqs_client", "object_store"},
    "pillarbox_otel": set[str](),
    "pillarbox_ops": {"aws", "archive", "scan", "redrive", "checks", "rights"},
}
READ_THE_ENVIRONMENT = {
    "service1_api": {"wsgi", "settings"},
    "service2_consumer": {"wiring", "settings"},
    "pillarbox": {"settings"},
    "pillarbox_aws": set[str](),
    "pillarbox_otel": set[str](),
    "pillarbox_ops": {"app"},
}
PURE = {
    ("pillarbox", name)
    for name in (
        *("message", "ids", "payload", "object_key", "s3_events", "strict_json"),
        *("gzip_body", "trace", "tracing", "backoff", "probe"),
    )
} | {
    ("pillarbox_otel", "conventions"),
    ("service1_api", "problems"),
    *(
        ("pillarbox_ops", name)
        for name in ("layout", "reasons", "records", "search", "attachments", "eml", "email_input")
    ),
    *(("pillarbox_ops", f"ui.{name}") for name in ("file_parts", "plots", "series", "text")),
    *(("service2_consumer", name) for name in ("model", "record")),
    *(
        ("service2_consumer", f"intake.{path.stem}")
        for path in (PACKAGES["service2_consumer"] / "intake").glob("*.py")
        if path.stem not in ("files", "messages", "settings")  # the first two read through an interface
    ),
}
DOES_IO = {
    "os",
    "io",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "asyncio",
    "http",
    "urllib",
    "requests",
    "time",
    "pathlib",
}
# The names on PyPI of packages that are imported by another name.
DISTRIBUTIONS = {"prometheus_client": "prometheus-client", "pydantic_settings": "pydantic-settings"} | {
    "uuid_utils": "uuid-utils",
    "pillarbox": "pillarbox-common",
    "pillarbox_aws": "pillarbox-common",
    "pillarbox_otel": "pillarbox-common",
    "opentelemetry": "opentelemetry-sdk",  # one of three; a namespace package
    "pydantic_core": "pydantic",
    "werkzeug": "flask",
    "markupsafe": "flask",
}

MODULES = [(package, path) for package, folder in PACKAGES.items() for path in sorted(folder.rglob("*.py"))]


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports_of(path: Path) -> list[str]:
    """Return the full name of each module that a file imports when it runs, not only for type checking."""
    return list(_imports_among(nodes_of(path), path))


def _imports_among(nodes: list[ast.AST], path: Path) -> Iterator[str]:
    typing_only = {
        inner
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes:
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            if node.module in PACKAGES:
                modules = (alias.name for alias in node.names if (PACKAGES[node.module] / f"{alias.name}.py").exists())
                yield from (f"{node.module}.{name}" for name in modules)


def module_path(package: str, name: str) -> Path:
    return PACKAGES[package] / f"{name.replace('.', '/')}.py"


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def violations(rule: Callable[[str, Path], set[str]]) -> dict[str, set[str]]:
    """Return by file what a rule forbids there; the rule gets package and file, and returns the forbidden names."""
    found = {str(path.relative_to(REPOSITORY)): rule(package, path) for package, path in MODULES}
    return {path: names for path, names in found.items() if names}


def test_every_package_is_looked_at() -> None:
    assert {package for package, _ in MODULES} == set(PACKAGES)


def test_only_adapters_and_composition_roots_import_an_aws_library() -> None:
    def forbidden(package: str, path: Path) -> set[str]:
        return set() if path.stem in MAY_IMPORT_AWS[package] else tops(path) & AWS_LIBRARIES

    assert violations(forbidden) == {}


def test_one_module_imports_opentelemetry_and_one_imports_that_when_it_is_needed() -> None:
    def forbidden(package: str, path: Path) -> set[str]:
        return set() if (package, path.stem) == ("pillarbox_otel", "sdk") else tops(path) & {"opentelemetry"}

    assert violations(forbidden) == {}
    importing = [(package, path.stem) for package, path in MODULES if "pillarbox_otel.sdk" in imports_of(path)]
    assert importing == [("pillarbox_otel", "opening")]


def test_no_package_imports_a_service_other_than_itself() -> None:
    assert violations(lambda package, path: tops(path) & ({"service1_api", "service2_consumer"} - {package})) == {}


def test_the_message_contract_knows_nothing_of_aws() -> None:
    forbidden = AWS_LIBRARIES | {"pillarbox_aws", "urllib3"}
    assert violations(lambda package, path: tops(path) & forbidden if package == "pillarbox" else set()) == {}


def test_pure_modules_do_no_io() -> None:
    def forbidden(package: str, name: str) -> set[str]:
        imported = set(imports_of(module_path(package, name))) - {"urllib.parse"}  # the only pure one of its package
        found = {module.partition(".")[0] for module in imported} & (DOES_IO | AWS_LIBRARIES | {"flask", "logging"})
        own = (module for module in imported if module.partition(".")[0] in PACKAGES and "." in module)
        return found | {module for module in own if tuple(module.split(".", 1)) not in PURE}

    found = {f"{package}.{name}": forbidden(package, name) for package, name in PURE}
    assert {name: imported for name, imported in found.items() if imported} == {}


def test_only_composition_roots_read_the_environment() -> None:
    def forbidden(package: str, path: Path) -> set[str]:
        if path.stem in READ_THE_ENVIRONMENT[package]:
            return set()
        names: set[str] = set()
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                names.add(node.attr)
        return names & {"environ", "environb", "getenv", "getenvb"}

    assert violations(forbidden) == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_a_declared_dependency(package: str) -> None:
    root = PACKAGES[package].parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [requirement for extra in project.get("optional-dependencies", {}).values() for requirement in extra]
    requirements = [*project["dependencies"], *extras]
    declared = {requirement.partition(">")[0].partition("[")[0].strip() for requirement in requirements}
    if (root / "hatch_build.py").exists():
        declared.add("pillarbox-common")  # the wheel contains it
    used = {name for path in PACKAGES[package].rglob("*.py") for name in tops(path)}
    used -= set(sys.stdlib_module_names) | {name for name, path in PACKAGES.items() if path.is_relative_to(root)}
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= declared


# Each floor imports only from the floors before it.
CONSUMER_FLOORS = (
    {"model", "clock", "outage_log", "metrics", "read_budget"}
    | {"intake.defects", "intake.special_objects", "intake.message_filter"},
    {"ports", "batching", "set_aside"}
    | {"intake.settings", "intake.charsets", "intake.header_block", "intake.object_id"},
    {"settings", "transfer_failure", "intake.header_text", "intake.transfer"},
    {"intake.mime_parts", "intake.timestream"},
    {"intake.email_file"},
    {"record"},
    {"intake.messages", "intake.files"},
    {"telemetry", "in_flight", "transfer_threads", "depth", "sqs", "s3", "s3_source"},
    {"admission", "transfers"},
    {"lane"},
    {"consumer", "health"},
    {"wiring"},
    {"__main__"},
)


def test_each_module_of_the_consumer_imports_only_from_lower_floors() -> None:
    lower: set[str] = set()
    for floor in CONSUMER_FLOORS:
        for name in floor:
            found = imports_of(module_path("service2_consumer", name))
            own = {module.partition(".")[2] for module in found if module.startswith("service2_")}
            assert own - {""} <= lower, name
        lower |= floor
    paths = [path.relative_to(PACKAGES["service2_consumer"]) for path in PACKAGES["service2_consumer"].rglob("*.py")]
    assert lower == {".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__"}


def test_end_to_end_tests_import_nothing_of_the_services() -> None:
    found = {path.name: tops(path) & set(PACKAGES) for path in (REPOSITORY / "e2e_test").rglob("*.py")}
    assert found
    assert {name: imported for name, imported in found.items() if imported} == {}


def test_the_command_line_declares_what_the_packages_in_its_wheel_need() -> None:
    def needed(folder: str) -> set[str]:
        project = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())["project"]
        extras = {**project.get("optional-dependencies", {}), "tracing": []}  # the wheel has no pillarbox_otel
        return {*project["dependencies"], *(requirement for extra in extras.values() for requirement in extra)}

    assert needed("common") <= needed("ops")
