"""The shape of the package: how large, how public, how quiet. Its floors: `.importlinter`."""

import __future__

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import midflight

SRC = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SRC / "midflight"

PUBLIC = {
    "",
    "agents",
    "agents.base",
    "api",
    "client",
    "commands",
    "effects",
    "errors",
    "events",
    "host",
    "info",
    "journal",
    "journal.base",
    "options",
    "session",
    "testing",
    "testing.conformance",
    "testing.conformance.journal",
    "testing.conformance.rows",
    "testing.opencode",
    "testing.plugin",
    "values",
}
"""What others may import. Names are relative to `midflight`; "" is the package itself."""

# The core knows no agent by name. A string in this table may be one, where it stands.
AGENT_WORDS = ("claude", "opencode")
AGENT_WORDS_ALLOWED = {"options": {"claude"}}  # the default of `agent=`
NOT_CORE = ("agents", "testing", "cli")

MAX_LINES = 600
"""A file ends where its idea ends; over 400 lines it most often has two."""

MAX_TEST_NAME = 70
"""The name of a test is one sentence, and fits on the line that says it failed."""

HEAVY = (
    "claude_agent_sdk",
    "genai_prices",
    "mcp",
    "platformdirs",
    "prompt_toolkit",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "textual",
    "uvicorn",
)

# The module with the one function that writes to the terminal.
OUTPUT = "cli.output"
# What a module may ask a standard stream; everything else on it is output.
STREAM_QUESTIONS = {"buffer_size", "encoding", "errors", "fileno", "isatty"}
PRINTERS = {"echo", "print", "print_exception", "print_formatted_text", "print_json", "secho"}


# ------------------------------------------------------------------ reading the sources


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_bytes(), str(path)) for name, path in MODULES.items()}


def _full(name: str) -> str:
    return f"midflight.{name}" if name else "midflight"


def test_sources_are_found() -> None:
    assert MODULES.keys() >= {"", "errors", "events", "commands"}


# ------------------------------------------------------------------ agents by name


def _documentation(tree: ast.AST) -> set[int]:
    """Identify the strings that stand alone as a statement: docstrings of all kinds."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each identifier and string in the code."""
    documentation = _documentation(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str | bytes) and id(node) not in documentation:
                said = node.value
                yield line, said if isinstance(said, str) else said.decode(errors="replace")
            continue
        for field in ("id", "attr", "arg", "name", "asname", "module", "rest"):
            if isinstance(text := getattr(node, field, None), str):
                yield line, text


def test_core_knows_no_agent_by_name() -> None:
    wrong = [
        f"{MODULES[module].relative_to(SRC)}:{line} says {text!r}"
        for module, tree in trees().items()
        if module.split(".")[0] not in NOT_CORE
        for line, text in _words(tree)
        if any(word in text.lower() for word in AGENT_WORDS)
        and text not in AGENT_WORDS_ALLOWED.get(module, set())
    ]
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------ size


def test_modules_are_short_enough_to_read() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    too_long = {name: count for name, count in lines.items() if count > MAX_LINES}
    assert not too_long, f"over {MAX_LINES} lines: {too_long}"


def test_names_of_tests_are_short_enough_to_read() -> None:
    found = [
        name
        for path in Path(__file__).parent.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    ]
    assert found
    assert not [name for name in found if len(name) > MAX_TEST_NAME]


# ------------------------------------------------------------------ public names


def test_public_modules_declare_names_that_exist() -> None:
    problems = []
    for module in sorted(PUBLIC):
        loaded = importlib.import_module(_full(module))
        declared = getattr(loaded, "__all__", None)
        if declared is None:
            problems.append(f"{_full(module)} has no __all__")
            continue
        problems += [
            f"{_full(module)}.{name} is declared and does not exist"
            for name in declared
            if not hasattr(loaded, name)
        ]
        if len(set(declared)) != len(declared):
            problems.append(f"{_full(module)}.__all__ names something twice")
    assert not problems, "\n".join(problems)


def test_public_names_of_midflight_are_exactly_all_of_them() -> None:
    names = {
        name
        for name in dir(midflight)
        if not name.startswith("_")
        and not isinstance(getattr(midflight, name), (ModuleType, type(__future__.annotations)))
    }
    declared = [name for name in midflight.__all__ if not name.startswith("_")]
    assert declared == sorted(names)


# ------------------------------------------------------------------ import without effects

IMPORT_AND_REPORT = """
import json, os, sys, threading
effects = []

def watch(event, args):
    if event == "open":
        path, mode, flags = args
        writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        if writes or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            effects.append(f"{event} {path}")
    elif event in {"os.mkdir", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect"}:
        effects.append(f"{event} {args[0] if args else ''}")

sys.path.insert(0, sys.argv[1])
sys.addaudithook(watch)
import midflight
report = {
    "effects": effects,
    "heavy": sorted(set(sys.argv[2:]) & sys.modules.keys()),
    "names": len(midflight.__all__),
    "threads": threading.active_count(),
}
import midflight.journal.schema
report["dialects"] = [name for name in sys.modules if name.startswith("sqlalchemy.dialects.")]
print(json.dumps(report))
"""


def test_import_midflight_is_silent_and_light(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-W", "error", "-c", IMPORT_AND_REPORT, str(SRC), *HEAVY],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "effects": [],
        "heavy": [],
        "names": len(midflight.__all__),
        "threads": 1,
        "dialects": [],
    }
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ output


def _is_stream(node: ast.AST) -> bool:
    names = {"stdout", "stderr", "__stdout__", "__stderr__"}
    match node:
        case ast.Attribute(value=ast.Name(id="sys"), attr=attr):
            return attr in names
        case ast.ImportFrom(module="sys", names=imported):
            return any(alias.name in names for alias in imported)
    return False


def _is_printing(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in PRINTERS
        case ast.ImportFrom(module=str(module), names=imported):
            source = module.split(".")[0]
            return source in {"click", "prompt_toolkit", "rich", "typer"} and any(
                alias.name in PRINTERS for alias in imported
            )
    return False


def _writes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield each node that writes to the terminal, or takes a standard stream to do so."""
    asked = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in STREAM_QUESTIONS
    }
    for node in ast.walk(tree):
        if _is_printing(node) or (_is_stream(node) and id(node) not in asked):
            yield node


def test_only_the_output_module_writes_to_the_terminal() -> None:
    wrong = [
        f"{MODULES[module].relative_to(SRC)}:{getattr(node, 'lineno', 0)} writes by itself"
        for module, tree in trees().items()
        if module != OUTPUT
        for node in _writes(tree)
    ]
    assert not wrong, "\n".join(wrong)


def test_output_module_has_one_function_that_writes() -> None:
    if OUTPUT not in trees():
        assert not any(module.split(".")[0] == "cli" for module in trees())
        return
    functions = [
        node.name
        for node in ast.walk(trees()[OUTPUT])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(_writes(node))
    ]
    assert len(functions) == 1, f"these write: {functions}"
