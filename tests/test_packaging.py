"""What the wheel and the source archive hold."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import IO, cast

import pytest

ROOT = Path(__file__).parent.parent


def tracked(room: str) -> set[str]:
    """Files of a room as they should stand in the wheel, under `lmprog/`."""
    files = [
        path
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not any(p.is_symlink() for p in path.parents)
    ]
    prefix = "" if room == "lmprog" else "lmprog/"
    return {prefix + str(path.relative_to(ROOT)) for path in files}


def build(kind: str, source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with zipfile.ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_three_rooms_and_nothing_else(wheel: set[str]) -> None:
    assert wheel == tracked("lmprog") | tracked("optimizers") | tracked("programs")


def test_the_wheel_is_right_even_from_an_archive_that_lost_the_links(tmp_path: Path, wheel: set[str]) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        for member in archive.getmembers():  # extractall(filter=...) came with Python 3.11.4
            if member.isfile():
                target = tmp_path / "unpacked" / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(cast("IO[bytes]", archive.extractfile(member)).read())
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not (source / "lmprog" / "optimizers").exists()

    with zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wheel


def test_type_information_ships(wheel: set[str]) -> None:
    assert "lmprog/py.typed" in wheel


def test_nothing_is_installed_at_the_top_level_but_lmprog(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"lmprog"}
