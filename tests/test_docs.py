"""The documents tell the truth: commands and files that they name exist, and nothing names one person's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LARGEST = 3_000_000  # bytes of one file: the repository is cloned over slow lines

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
# Written apart, so that this file does not find itself.
MACHINE = [
    r"(?<![\w.-])/" + r"work/\w", r"(?<![\w.-])/" + r"root/\w",
    r"/" + r"home/[a-z]\w*/", r"/Users" + r"/[a-z]\w*/",
    r"/opt" + r"/wheels",
    r"py" + r"pi\.org", r"python" + r"hosted", r"download\.py" + r"torch", r"npm" + r"js\.(org|com)",
    r"deb" + r"\.debian\.org",
]  # fmt: skip


def code_of(text: str) -> str:
    """All that is set as code: fenced blocks and spans."""
    blocks = [body for _, body in FENCE.findall(text)]
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return "\n".join([*blocks, *spans])


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))


@cache
def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_make_targets_exist(doc: Path) -> None:
    named = re.findall(r"(?:^|[\s`(])make(?: [A-Z_]+=\S+)* ([a-z][\w-]*)", code_of(doc.read_text()), re.M)
    assert not set(named) - make_targets()


def test_every_target_is_explained_by_make_help() -> None:
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^make ([\w-]+)", told, re.M)) <= make_targets()
    for target in ("install", "lab", "test", "bench", "reproduce", "parity", "lint", "clean"):
        assert f"make {target}" in told


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(doc: Path) -> None:
    text = FENCE.sub("", doc.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<(?:img|a)[^>]+(?:src|href)=\"([^\"]+)\"", text)
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert not [link for link in local if not (doc.parent / link).exists()]


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_python_in_documents_parses(doc: Path) -> None:
    for language, body in FENCE.findall(doc.read_text()):
        if language in ("python", "py"):
            ast.parse(body, filename=doc.name)


def documented_commands() -> list[str]:
    code = "\n".join(code_of(doc.read_text()) for doc in DOCS)
    return sorted(set(re.findall(r"^\s*(?:\S*/)?atomlab ([a-z][\w-]*)", code, re.M)))


def test_documented_commands_exist() -> None:
    commands = documented_commands()
    if not commands or find_spec("atomlab.cli") is None:
        pytest.skip("no document names a command yet")
    code = "import sys; from atomlab.cli import main; sys.argv = ['atomlab', sys.argv[1], '--help']; sys.exit(main())"
    for command in commands:
        done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"atomlab {command} --help: {done.stdout}{done.stderr}"


def test_no_file_names_one_machine() -> None:
    pattern = re.compile("|".join(MACHINE))
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found, "\n".join(found)


def test_no_file_is_large() -> None:
    assert not [path.name for path in tracked() if path.stat().st_size > LARGEST]


def test_scripts_can_be_started() -> None:
    for name in (".ci/run", "binder/postBuild", "binder/start"):
        path = ROOT / name
        assert path.stat().st_mode & 0o100, f"{name} is not executable"
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert (ROOT / "binder/start").read_text().rstrip().endswith('exec "$@"')
