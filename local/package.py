"""Makes the zip that is deployed: `python -m local.package [--out build/functions.zip]`.

The same tree gives the same bytes on any machine, so the hash identifies the code. Entries are sorted, and times and
modes are fixed. Nothing is compressed, because versions of zlib may compress differently, and the zip is small.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Only these are deployed.
FILES = ("main.py", "requirements.txt")
FOLDERS = ("functions", "shared")
SUFFIXES = (".py", ".json", ".typed")

EARLIEST_IN_A_ZIP = (1980, 1, 1, 0, 0, 0)
READABLE_FILE = 0o100644 << 16
UNIX = 3


class PackageError(Exception):
    """The tree cannot be packaged. The text names the file and the remedy."""


def deployed_files(root: Path) -> list[str]:
    """Return the paths that are deployed, relative to `root`, sorted. Raises PackageError.

    Skips hidden files and byte code. Any other file with an unknown suffix is an error: it may be one that a function
    reads, or an editor's backup.
    """
    missing = [name for name in FILES if not (root / name).is_file()]
    missing += [f"{name}/" for name in FOLDERS if not (root / name).is_dir()]
    if missing:
        raise PackageError(f"{', '.join(missing)} is missing in {root}: run this in a complete checkout")
    paths = [*FILES]
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            relative = path.relative_to(root)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if hidden or not path.is_file():
                continue
            if path.suffix not in SUFFIXES:
                raise PackageError(
                    f"{relative} has a suffix that is not deployed: move it, or add {path.suffix} to SUFFIXES"
                )
            paths.append(relative.as_posix())
    return sorted(paths)


def write_package(root: Path, out: Path) -> str:
    """Write the zip to `out`, and return its SHA-256 in hex."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for path in deployed_files(root):
            entry = zipfile.ZipInfo(path, EARLIEST_IN_A_ZIP)
            entry.create_system = UNIX
            entry.external_attr = READABLE_FILE
            archive.writestr(entry, (root / path).read_bytes())
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    part.replace(out)
    return digest


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.package", description="Make the zip that is deployed.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "functions.zip", help="where (%(default)s)")
    out: Path = parser.parse_args(arguments).out
    try:
        digest = write_package(ROOT, out)
    except PackageError as problem:
        sys.stderr.write(f"package: {problem}\n")
        return 1
    sys.stdout.write(f"{out}\nsha256 {digest}\n{out.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
