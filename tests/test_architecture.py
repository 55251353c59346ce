"""The rules between the parts, and the limits on size, of the design."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("refimpl", "fakeregistry", "conformance")

# Which of our parts a part may import besides itself. The tests may use all.
ALLOWED = {"refimpl": set(), "fakeregistry": set(), "conformance": {"fakeregistry"}}

MODULES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]


def imported_parts(path):
    """Yield each of our parts that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            values = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            names = [str(value) for value in values]
        else:
            continue
        yield from (name.partition(".")[0] for name in names)


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_parts_import_only_what_they_may(path):
    part = path.relative_to(ROOT).parts[0]
    forbidden = set(PARTS) - ALLOWED[part] - {part}
    assert forbidden.isdisjoint(imported_parts(path))


def test_the_walk_sees_every_way_of_importing(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        "import refimpl.pull\n"
        "def late():\n"
        "    from fakeregistry import Registry\n"
        "    importlib.import_module('conformance.case')\n"
    )
    assert set(imported_parts(module)) == {"refimpl", "fakeregistry", "conformance"}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_modules_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_functions_stay_readable(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [child for child in node.body if not is_docstring(child)]
            lines = {line for child in body for line in lines_of(child)}
            assert len(lines) <= 60, f"{node.name} at line {node.lineno}"


def lines_of(node):
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in MODULES
        if path.parts[-len(path.relative_to(ROOT).parts)] == "refimpl"
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_refimpl_modules_have_a_docstring(path):
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text))


def public_modules():
    for part in PARTS:
        package = importlib.import_module(part)
        yield part
        for module in pkgutil.walk_packages(package.__path__, f"{part}."):
            if not module.name.endswith("__main__") and ".cases" not in module.name:
                yield module.name


@pytest.mark.parametrize("name", sorted(public_modules()))
def test_exported_names_exist(name):
    """That they are sorted is ruff's to say (RUF022)."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [item for item in exported if not hasattr(module, item)] == []
    assert len(exported) == len(set(exported))
