"""The zip: the same for the same tree, and nothing in it that is not deployed."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from local.package import ROOT, PackageError, deployed_files, write_package


def a_tree(root: Path) -> Path:
    for name, content in {
        "main.py": "import shared.one\n",
        "requirements.txt": "flask\n",
        "functions/__init__.py": "",
        "shared/one.py": "ONE = 1\n",
        "shared/deep/two.py": "TWO = 2\n",
        "local/package.py": "not deployed\n",
        "tests/test_one.py": "not deployed\n",
        ".env": "not deployed\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = a_tree(tmp_path / "one"), a_tree(tmp_path / "two")
    for path in (two / "main.py", two / "shared" / "one.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    (two / "shared" / "__pycache__").mkdir()
    (two / "shared" / "__pycache__" / "one.cpython-313.pyc").write_bytes(b"byte code")
    (two / "functions" / ".DS_Store").write_bytes(b"a desktop's")

    first, second = write_package(one, tmp_path / "one.zip"), write_package(two, tmp_path / "two.zip")

    assert first == second
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert first == hashlib.sha256((tmp_path / "one.zip").read_bytes()).hexdigest()


def test_one_changed_byte_gives_another_hash(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    before = write_package(tree, tmp_path / "before.zip")
    (tree / "shared" / "one.py").write_text("ONE = 2\n")

    assert write_package(tree, tmp_path / "after.zip") != before


def test_only_what_is_deployed_is_in_it(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    write_package(tree, tmp_path / "functions.zip")

    with zipfile.ZipFile(tmp_path / "functions.zip") as archive:
        assert archive.namelist() == [
            "functions/__init__.py",
            "main.py",
            "requirements.txt",
            "shared/deep/two.py",
            "shared/one.py",
        ]


def test_the_real_tree_deploys_the_code_and_its_pins_and_nothing_else() -> None:
    files = deployed_files(ROOT)

    assert {path.split("/")[0] for path in files} == {"main.py", "requirements.txt", "functions", "shared"}
    assert {"functions/receive_webhook.py", "functions/store_record.py", "functions/run_job.py"} <= set(files)


def test_a_file_of_unknown_kind_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    (tree / "shared" / "one.py~").write_text("an editor's copy")

    with pytest.raises(PackageError, match=r"shared/one\.py~"):
        deployed_files(tree)


def test_an_incomplete_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")

    with pytest.raises(PackageError, match=r"requirements\.txt, functions/, shared/ is missing"):
        deployed_files(tmp_path)
