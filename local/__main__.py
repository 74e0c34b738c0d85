"""`python -m local run|demo|show`: the whole system on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.options import ROOT, Unusable, parser
from local.options import read as read_options
from shared.errors import SettingsError
from workstation.dotenv import DotenvError
from workstation.dotenv import read as read_dotenv
from workstation.packages import explained


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    if asked.command == "show":
        return show(asked.folder, asked.path)
    try:
        options = read_options(asked, {**read_dotenv(ROOT / ".env"), **os.environ})
    except (Unusable, DotenvError) as problem:
        return fail(str(problem))
    except SettingsError as error:
        return fail("\n".join(error.problems))
    try:
        from local.run import run
    except ModuleNotFoundError as missing:
        return fail(explained(missing))
    return run(options)


def show(folder: Path, path: str) -> int:
    from workstation.wiring import documents

    if not (folder / "documents.sqlite3").is_file():
        return fail(f"there is no embedded store in {folder}: `make run` prints where it is")
    if path.count("/") != 1:
        return fail("a document is named like patients/123")
    document = documents(folder).get(path)
    if document is None:
        return fail(f"there is no document {path}")
    sys.stdout.write(json.dumps(document, indent=2, default=str, ensure_ascii=False) + "\n")
    return 0


def fail(problem: str) -> int:
    sys.stderr.write(problem + "\n")
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before anything was started
        sys.exit(fail("interrupted"))
