"""The project keeps its own rules: style, types, layers, and nothing of this machine in the tree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "selfcure"

# Lowest first. Packages of one line do not import each other; `selfcure/__init__` names everything and imports nothing.
LAYERS = [
    {"errors"},
    {"core", "models"},
    {"backbones", "data", "methods", "metrics", "runs"},
    {"detection", "faces", "labels", "training"},
    {"predict"},
    {"collect"},
    {"export"},
    {"benchmark"},
    {"review"},
    {"report"},
    {"demo"},
    {"cli"},
    {"__main__"},
]


def layer(package: str) -> int:
    return next(index for index, packages in enumerate(LAYERS) if package in packages)


def imports(file: Path) -> set[str]:
    """First-level packages of selfcure that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "selfcure":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("selfcure.")}
    return found


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_point_down(file):
    package = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if package == "__init__":
        return
    for other in imports(file) - {package}:
        assert layer(other) < layer(package), f"{package} imports {other}, which is not below it"


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("no git checkout: the list of tracked files is unknown")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_lock_file_registry_or_machine_path_is_tracked():
    assert not [f for f in tracked() if f.name == "uv.lock"]
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js"]
    paths = [f"/{folder}/" + "main" for folder in ("work", "root")]
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        assert not [word for word in hosts + paths if word in text], file


@pytest.mark.parametrize(
    "arguments", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=lambda a: " ".join(a)
)
def test_style_and_types(arguments):
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
