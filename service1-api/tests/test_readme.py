"""The README's table of problems against the list that the service answers from."""

from service1_api.errors import PROBLEMS

from .server import SERVICE


def table() -> str:
    rows = [f"| `{code}` | {kind.status} | {kind.title} | {kind.remedy} |" for code, kind in PROBLEMS.items()]
    return "\n".join(["| code | status | what | what to do |", "|---|---|---|---|", *rows])


def test_the_readme_lists_every_problem_as_it_is() -> None:
    readme = (SERVICE / "README.md").read_text()
    found = readme.partition("<!-- problems -->\n")[2].partition("\n<!-- /problems -->")[0]
    assert found == table()
