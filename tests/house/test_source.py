"""What must not stand in the source, whatever it does."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_LINES = 500
NOT_OURS = {".git", ".venv", "__pycache__", "node_modules", "dist", "build", ".hypothesis"}

STATEMENT = re.compile(r"\b(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|MERGE\s+INTO\s)")
UNFINISHED = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b|NotImplementedError|pass\s+#\s*stub|pragma:\s*no cover")
# Written so that this file does not hold what it looks for.
REGISTRIES = re.compile(r"(p[y]pi|p[y]thonhosted|n[p]mjs|y[a]rnpkg|d[e]bian)\.(org|com)")
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(w[o]rk|r[o]ot|h[o]me/\w+|U[s]ers/\w+)/")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # a picture, an archive
        return ""


def tree() -> list[Path]:
    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith("_cache")]
        found += [Path(folder) / name for name in files if name not in NOT_OURS]  # .git is a file in a linked checkout
    return sorted(found)


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(text_of(path), filename=str(path))):
            if isinstance(node, kind):
                yield path, node


def text_in(node: ast.AST) -> str:
    """The constant text below a node; what is filled in at run time stands as a letter."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_in(part) if isinstance(part, ast.Constant) else "x" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_in(node.left) + text_in(node.right)
    return ""


def is_built(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    return False


def test_no_source_file_is_longer_than_500_lines() -> None:
    long = {relative(path): count for path in SOURCES if (count := len(text_of(path).splitlines())) > MAX_LINES}
    assert not long, f"two rooms behind one door? {long}"


def test_nothing_unfinished_stands_in_the_source() -> None:
    found = matches(UNFINISHED, SOURCES)
    assert not found, "\n".join(found)


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{relative(path)}:{node.lineno}"
        for path, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if "cli" not in path.relative_to(ROOT / "src" / "mastertrade").parts
    ]
    assert not printing, "\n".join(printing)


def test_no_statement_is_put_together_from_strings() -> None:
    built = [
        f"{relative(path)}:{node.lineno}: {text_in(node)[:80]!r}"
        for path, node in nodes((ast.JoinedStr, ast.BinOp))
        if isinstance(node, ast.JoinedStr | ast.BinOp) and is_built(node) and STATEMENT.search(text_in(node))
    ]
    formatted = [
        f"{relative(path)}:{node.lineno}: {text_in(node.func.value)[:80]!r}"
        for path, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        if STATEMENT.search(text_in(node.func.value))
    ]
    found = built + formatted
    assert not found, "\n".join([*found, "filters are ':x IS NULL OR …' in a .sql file"])


def test_no_package_registry_is_named_in_the_tree() -> None:
    found = matches(REGISTRIES, tree())
    assert not found, "\n".join(found)


def test_no_path_of_somebodys_machine_is_in_the_tree() -> None:
    found = matches(MACHINE_PATHS, tree())
    assert not found, "\n".join(found)


def test_the_lock_pins_every_package_with_hashes_and_without_addresses() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock"):
        text = text_of(ROOT / name)
        pins = re.findall(r"^[a-z0-9][^\s=]*==\S+.*?(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL | re.IGNORECASE)
        assert pins, name
        assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text
