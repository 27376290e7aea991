"""What is shipped is what was tested: the wheel holds every file, and says in one line what it lacks."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = ("instrumentation", "store", "collector", "analysis", "cli", "examples/chat")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def files_of_packages() -> set[str]:
    """Every file of every package, as the wheel names it."""
    found: set[str] = set()
    for folder in PACKAGE_FOLDERS:
        for package in (ROOT / folder).glob("acceptfirst*"):
            paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
            found |= {str(path.relative_to(ROOT / folder)) for path in paths}
    return found


def test_wheel_holds_every_file_of_every_package(wheel: Path) -> None:
    """Templates, migrations, statements, the catalogue, the markers of typing: nothing is left behind."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert shipped == files_of_packages()
    assert any(name.endswith(".j2") for name in shipped)


def test_command_without_its_extras_says_in_one_line_what_to_install(wheel: Path) -> None:
    """The library alone has the command, and the command knows what it lacks."""
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); sys.modules['typer'] = None\n"
        "from acceptfirst_cli.entry import main; sys.exit(main(['--help']))"
    )
    ended = subprocess.run([sys.executable, "-S", "-c", code], check=False, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr == "acceptfirst: the command line needs typer: pip install 'acceptfirst[all]'\n"
