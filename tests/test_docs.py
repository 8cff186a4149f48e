"""The documentation, as far as it can be wrong without Sphinx noticing.

* What is shown compiles, and uses names that there are.
* What the reference lists is what there is.
* What is made from the code says all that the code does.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
import tomllib
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import aconnect
from aconnect.explanations.explain import BY_CODE, BY_ERRNO
from aconnect.policy import SPECIAL_NETWORKS
from aconnect.sansio.attempt import CONNECT_TABLE, Meaning, Step
from aconnect.sansio.commands import State
from aconnect.sansio.order import POLICY_TABLE
from aconnect.sansio.race import Command, Race
from aconnect.sansio.value import Value
from aconnect.telemetry.conventions import ERROR_TYPES, OTHER

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
TEXTS = [*sorted(PROJECT.glob("*.md")), *PAGES]

FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def blocks_everywhere(language: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{page.relative_to(PROJECT)}-{number}")
        for page in TEXTS
        for number, text in enumerate(blocks(page, language), 1)
    ]


def public_names() -> set[str]:
    tree = ast.parse(Path(aconnect.__file__).read_text())
    names = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    public = {name for name in names if name and not name.startswith("_")}
    assert public == set(aconnect.__all__)
    return public


def extension(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> Any:
    return extension("tables")


# What is shown


@pytest.mark.parametrize("code", blocks_everywhere("python"))
def test_python_compiles_and_imports_what_there_is(code: str) -> None:
    tree = ast.parse(code)
    compile(tree, "a block", "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "aconnect":
            assert {alias.name for alias in node.names} <= public_names() | aconnect._MODULES
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aconnect."):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("session", blocks_everywhere("pycon"))
def test_an_interactive_session_goes_as_shown(session: str) -> None:
    test = doctest.DocTestParser().get_doctest(session, {}, "a session", None, 0)
    failures: list[str] = []
    result = doctest.DocTestRunner().run(test, out=failures.append)
    assert result.attempted
    assert not failures, "".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_is_included_and_named_is_there(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"\{literalinclude\} (\S+)", text):
        assert (page.parent / path).is_file(), path
    for name in re.findall(r"\{py:(?!mod)\w+\}`~?([\w.]+)`", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_every_example_is_shown() -> None:
    shown = re.findall(
        r"\{literalinclude\} \S*/examples/(\w+\.py)", "".join(map(Path.read_text, PAGES))
    )
    assert {path.name for path in PROJECT.glob("examples/*.py")} == set(shown)


@pytest.mark.parametrize("text", sorted(PROJECT.glob("*.md")), ids=lambda text: text.name)
def test_links_to_files_lead_somewhere(text: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text())
    if text.name == "README.md":  # which is shown where the other files are not
        assert not targets
        targets = of_the_project(text)
        assert targets
    for target in targets:
        assert (PROJECT / target).exists(), target


def of_the_project(text: Path) -> list[str]:
    """The files that a text has absolute links to."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        source = re.escape(tomllib.load(file)["project"]["urls"]["Source"])
    files = re.findall(rf"{source}/blob/main/(\S+)", text.read_text())
    folders = re.findall(rf"{source}/tree/main/(\S+)", text.read_text())
    assert all((PROJECT / target).is_dir() for target in folders)
    return files + folders


def test_every_link_of_the_readme_is_used_and_defined() -> None:
    text = (PROJECT / "README.md").read_text()
    defined = re.findall(r"^\[([^]]+)\]: https://", text, re.MULTILINE)
    assert set(re.findall(r"\]\[([^]]+)\]", text)) == set(defined)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(PROJECT)))
def test_nobody_is_told_to_install_what_is_somebody_elses(text: Path) -> None:
    """On PyPI, aconnect is another project."""
    assert not re.search(r"pip install[^\n`&]*\baconnect\b", text.read_text())


def test_the_map_of_the_house_is_right() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    package = Path(aconnect.__file__).parent
    block = text.partition("    src/aconnect/\n")[2].partition("    tests/")[0]
    rooms = dict(re.findall(r"^ {6}(\S+) +(.*(?:\n {7,}.*)*)", block, re.MULTILINE))
    there = {each.name for each in package.iterdir() if each.suffix == ".py"}
    there |= {f"{each.parent.name}/" for each in package.glob("*/__init__.py")}
    assert there - {"__main__.py"} == set(rooms)
    for room, described in rooms.items():
        for name in re.findall(r"\b\w+\.py", described):
            assert (package / room / name).exists() or name in there, (room, name)
    with (PROJECT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    floors = re.findall(r"^\d+\. (`.*)$", text, re.MULTILINE)
    [layers] = [each["layers"] for each in contracts if each["type"] == "layers"]
    assert [set(re.findall(r"\w+", floor)) for floor in floors] == [
        set(re.findall(r"\w+", layer)) for layer in reversed(layers)
    ]


@pytest.mark.parametrize("command", ["aconnect demo", "nox"])
def test_the_readme_has_each_line_once_and_alone(command: str) -> None:
    readme = PROJECT / "README.md"
    alone = [text for text in blocks(readme, "sh") if text.endswith(f"/{command}\n")]
    assert len(alone) == 1
    assert alone[0].count("\n") == 1
    assert readme.read_text().count(alone[0].strip()) == 1


def test_the_readme_has_every_extra() -> None:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    table = (PROJECT / "README.md").read_text().partition("| extra |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(extras)


# What is found

LISTS = ["how-to/index.md", "explanation/index.md", "reference/integrators.md", "contributing.md"]
SEARCHED = [
    *("proxy", "socks", "retry", "backoff", "logging", "ssrf", "happy eyeballs", "timeout"),
    *("metrics", "opentelemetry", "prometheus", "localhost slow"),
]


def test_names_of_python_that_docstrings_link_to_are_there() -> None:
    lines = (DOCS / "_ext" / "python_names.txt").read_text().splitlines()
    assert lines == sorted(set(lines))
    for name, kind, place in map(str.split, lines):
        assert place.endswith((f"#{name}", f"#module-{name}"))
        if not name.startswith("asyncio.loop."):  # as that documentation calls any loop
            found = name if "." in name or kind == "module" else f"builtins:{name}"
            pkgutil.resolve_name(found)  # or it raises


@pytest.mark.parametrize("page", LISTS)
def test_a_list_of_pages_has_a_line_for_each(page: str) -> None:
    listed = re.findall(r"^\[\]\((\S+)\.md\)\n: \S", (DOCS / page).read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(pages_below(DOCS / page))


def pages_below(page: Path) -> list[str]:
    """The pages in the trees of a page; for one that only groups others, those."""
    trees = "\n".join(blocks(page, "{toctree}"))
    found: list[str] = []
    for each in re.findall(r"^[\w./-]+$", trees, re.MULTILINE):
        groups = each.startswith("needs/")
        found += pages_below(page.parent / f"{each}.md") if groups else [each.removeprefix("../")]
    return found


def test_the_overview_of_the_reference_has_every_page() -> None:
    page = DOCS / "reference" / "index.md"
    table = page.read_text().partition("| look up |")[2].partition("\n\n")[0]
    [tree] = blocks(page, "{toctree}")
    assert sorted(re.findall(r"\((\S+)\.md\)", table)) == sorted(re.findall(r"(?m)^[\w-]+$", tree))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_long_page_has_something_to_look_at(page: Path) -> None:
    text = page.read_text()
    shown = re.search(r"^!\[|^\| ?---|\{(table|diagram)-from-code\}", text, re.MULTILINE)
    assert shown or len(text.split()) <= 1500


@pytest.mark.parametrize("query", SEARCHED)
def test_what_is_searched_for_is_on_a_page(query: str) -> None:
    """In the headings of one, to which a search gives the most weight."""
    heads = [re.sub(r"(?ms)^```.*?^```$", "", page.read_text()).lower() for page in PAGES]
    heads = ["\n".join(re.findall(r"^#+ (.*)$", text, re.MULTILINE)) for text in heads]
    assert any(all(word in head for word in query.split()) for head in heads)


@pytest.mark.parametrize("query", SEARCHED)
def test_what_is_searched_for_is_in_the_index_once(query: str) -> None:
    """As a main entry, which a search shows before all else."""
    lines = [
        line
        for page in PAGES
        for line in re.findall(r"^```\{index\} (.+)$", page.read_text(), re.MULTILINE)
    ]
    entries = [entry.strip() for line in lines for entry in line.split(",")]
    assert entries.count(f"! {query}") == 1


# What is listed

DIRECTIVE = re.compile(
    r"^\.\. (?:auto|py:)(?:function|class|exception|data):: (\S+)", re.MULTILINE
)


def test_the_reference_has_every_public_name_once() -> None:
    pages = [page.read_text() for page in (DOCS / "reference").glob("*.md")]
    documented = [
        name
        for page in pages
        if ".. module:: aconnect\n" in page
        for name in DIRECTIVE.findall(page)
        if "." not in name  # of another module
    ]
    assert sorted(documented) == sorted(public_names())


def test_the_reference_has_every_property_and_method() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    shown = dict(re.findall(r"^\.\. auto\w+:: (\w+)\n   :members: (.+)$", text, re.MULTILINE))
    for name in public_names():
        kind = getattr(aconnect, name)
        if isinstance(kind, type) and kind is not aconnect.Deadline:  # all of which is shown
            members = {
                key
                for key, value in vars(kind).items()
                if isinstance(value, (property, types.FunctionType)) and not key.startswith("_")
            }
            # What aconnect itself makes of an address, and what its own calls go by.
            expected = members - {"endpoint", "dial"}
            if kind is aconnect.Dialer:
                expected.add("replace")  # of all values; see the next test
            assert expected == set(filter(None, shown.get(name, "").split(", "))), name


def test_the_reference_says_which_names_are_values() -> None:
    text = (DOCS / "reference" / "index.md").read_text().partition("## Values")[2]
    told = set(re.findall(r"`(\w+)`", text.partition("; and, in the modules")[0]))
    kinds = {name: getattr(aconnect, name) for name in public_names()}
    assert told == {
        name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Value)
    }
    public = {name for name in vars(Value) if not name.startswith("_")}
    assert public == {"replace"}


def test_what_is_imported_later_is_what_type_checkers_see() -> None:
    tree = ast.parse(Path(aconnect.__file__).read_text())
    [branch] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (alias.asname, node.module)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(aconnect._LATER.items())


def test_the_overview_has_every_public_name() -> None:
    overview = (DOCS / "reference" / "index.md").read_text()
    named = {
        name.removeprefix("~aconnect.") for name in re.findall(r"`(~aconnect\.\w+)`", overview)
    }
    assert named == public_names()


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("aconnect.blocking", "blocking"),
        ("aconnect.sockets.settings", "options"),
        ("aconnect.many", "many"),
        ("aconnect.policy", "policy"),
        ("aconnect.report.report", "report"),
        ("aconnect.sansio.attempt", "state-machine"),
        ("aconnect.sansio.order", "order"),
        ("aconnect.sansio.race", "race"),
        ("aconnect.trace", "report"),
        ("aconnect.telemetry.logs", "telemetry"),
        ("aconnect.telemetry.opentelemetry", "telemetry"),
        ("aconnect.telemetry.prometheus", "telemetry"),
    ],
)
def test_the_reference_has_every_name_of_a_public_module(module: str, page: str) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text()
    documented = {name.removeprefix(f"{module}.") for name in DIRECTIVE.findall(text)}
    # Who listens is guarded by the dialer.
    assert set(importlib.import_module(module).__all__) - {"guarded"} <= documented


# What is made from the code


def cells(table: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len({len(row) for row in rows}) == 1
    return rows[2:]


def test_every_table_on_a_page_is_one_of_them(tables: Any) -> None:
    text = "".join(map(Path.read_text, PAGES))
    assert sorted(re.findall(r"\{table-from-code\} (\w+)", text)) == sorted(tables.TABLES)


def test_the_connect_table_has_every_row(tables: Any) -> None:
    rows = cells(tables.TABLES["connect"]())
    assert len(rows) == len(CONNECT_TABLE) + 1
    for row, shown in zip(CONNECT_TABLE, rows, strict=False):
        assert row.errno in shown[0]
        assert all(family in shown[1] for family in row.families or ())
        assert shown[2] == {None: "any", True: "aconnect's own", False: "the caller's"}[row.owned]
        assert row.meaning.value in shown[3]


def test_the_tables_of_errnos_have_every_row(tables: Any) -> None:
    for name, explanations in (("errnos", BY_ERRNO), ("lookups", BY_CODE)):
        rows = cells(tables.TABLES[name]())
        assert [row[0] for row in rows] == [f"`{each.name}`" for each in explanations.values()]
        for explanation, (_, what, check, transient, *_) in zip(
            explanations.values(), rows, strict=True
        ):
            assert what == explanation.words(None)
            assert check == explanation.advice(None)
            assert transient == ("yes" if explanation.transient else "no")


def test_the_table_of_error_types_has_every_row(tables: Any) -> None:
    rows = cells(tables.TABLES["error_types"]())
    told = {name: row[0] for row in rows for name in row[1].split(", ")}
    assert told == {f"`{name}`": f"`{kind}`" for name, kind in ERROR_TYPES.items()}
    others = set(re.findall(r"`(\w+)`", (DOCS / "reference" / "telemetry.md").read_text()))
    assert {"certificate_error", "tls_error", "proxy_auth", "proxy_refused"} <= others
    assert {"timed_out", "not_permitted", OTHER} <= others


def test_the_tables_of_networks_have_every_row(tables: Any) -> None:
    networks = cells(tables.TABLES["networks"]())
    assert [row[0] for row in networks] == [f"`{row.network}`" for row in SPECIAL_NETWORKS]
    assert [row[2] == "yes" for row in networks] == [row.reachable for row in SPECIAL_NETWORKS]
    precedence = cells(tables.TABLES["precedence"]())
    assert [row[0] for row in precedence] == [f"`{row.prefix}`" for row in POLICY_TABLE]


def test_the_tables_of_the_race_have_every_event_command_and_state(tables: Any) -> None:
    events = {row[0].strip("`").partition("(")[0] for row in cells(tables.TABLES["events"]())}
    public = {name for name in vars(Race) if not name.startswith("_")}
    assert events == public - {"rules", "over", "in_flight", "untried", "wake_at"}
    commands = [row[0].strip("`").partition("(")[0] for row in cells(tables.TABLES["commands"]())]
    named = re.findall(r"[A-Z]\w+", Command.replace("[A]", ""))
    assert commands == named
    told = cells(tables.TABLES["told"]())
    assert [row[0] for row in told] == [state.value for state in State]


def test_what_the_race_does_when_it_is_told_of_an_attempt(tables: Any) -> None:
    told = {row[0]: row[1:] for row in cells(tables.TABLES["told"]())}
    assert told["is running"] == [
        "`BeginHandshake`",
        "`Start`",
        "RuntimeError",
        "RuntimeError",
    ]
    assert told["is in its handshake"][2] == "`Won`"
    assert set(told["was cancelled"]) == {"nothing"}


def test_what_follows_is_said_of_every_meaning() -> None:
    text = (DOCS / "reference" / "connect-table.md").read_text().partition("What follows")[2]
    assert re.findall(r"^\| `(\w+)`", text, re.MULTILINE) == [each.name for each in Meaning]


def test_every_state_is_described(tables: Any) -> None:
    text = (DOCS / "reference" / "state-machine.md").read_text().partition("## ")[0]
    described = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)))
    states = {base(after) for each in tables.transitions() for after in each.after}
    assert states == set(described)


def base(state: str) -> str:
    return re.split(r"[ :]", state)[0]


def test_the_transitions_leave_out_no_step(tables: Any) -> None:
    transitions = tables.transitions()
    states = {each.state for each in transitions}
    targets = {after for each in transitions for after in each.after}
    assert {step.name for step in Step} <= set(map(base, targets))
    # What can be got into can be got out of, but for the two ends; and nothing else is there.
    into = {after.partition(":")[0].partition(" after")[0] for after in targets}
    assert into - {"CONNECTED", "FAILED"} == states - {"start"}


def test_the_machine_is_given_every_answer(tables: Any) -> None:
    answers: dict[str, set[str]] = {}
    for each in tables.transitions():
        answers.setdefault(base(each.state), set()).add(each.answer)
    so_error = {"0", "EINPROGRESS, EALREADY, EINTR", "another errno"}
    assert answers == {
        "start": {"begin()", "resume()"},
        "CONNECT": {meaning.name for meaning in Meaning},
        "PROBE": {"a peer", "itself", "ENOTCONN", "another errno"},
        "WAIT": so_error,
        "READ_ERROR": so_error,
        "INSPECT": {"hung up", "not hung up"},
        "RETRY": {"the moment has come"},
        "REOPEN": {"begin()"},
    }


@pytest.mark.parametrize(
    ("state", "answer", "kind", "after"),
    [
        pytest.param("CONNECT", "STARTED", "TCP", ("PROBE (started)",), id="started"),
        pytest.param("PROBE (started)", "ENOTCONN", "TCP", ("WAIT",), id="nothing yet"),
        pytest.param("PROBE (started)", "a peer", "TCP", ("CONNECTED",), id="connected"),
        pytest.param("WAIT", "0", "TCP", ("PROBE (awake)",), id="SO_ERROR is not believed"),
        pytest.param("CONNECT", "BACKLOG_FULL", "unix stream", ("RETRY",), id="backlog"),
        pytest.param("RETRY", "the moment has come", "unix stream", ("CONNECT",), id="again"),
        pytest.param(
            "PROBE (started)", "itself", "TCP", ("REOPEN", "FAILED: ECONNREFUSED"), id="itself"
        ),
    ],
)
def test_transitions_as_the_explanation_tells_them(
    tables: Any, state: str, answer: str, kind: str, after: tuple[str, ...]
) -> None:
    [transition] = [
        each
        for each in tables.transitions()
        if (each.state, each.answer) == (state, answer)
        and any(one.name == kind and one.owned for one in each.kinds)
    ]
    assert transition.after == after


def test_the_diagram_has_every_transition_and_no_other(tables: Any) -> None:
    svg = ElementTree.fromstring(extension("state_diagram").drawn(tables.edges()))
    titles = [title.text or "" for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    drawn = set()
    for title in titles:
        before, _, after = title.rpartition(": ")
        state, _, answers = before.partition(", ")
        drawn |= {(state, after, answer) for answer in answers.split(" / ")}
    assert drawn == {
        (each.state, after.partition(":")[0].partition(" after")[0], each.answer)
        for each in tables.transitions()
        for after in each.after
    }
    assert len(titles) == len({(state, after) for state, after, _ in drawn})
