"""`python -m tests.model --schedules 20000 --seed 1`: the long run. It prints each seed that shows a fault."""

from __future__ import annotations

import sys

from tests.model.run import run_one
from tests.schedules import run_many

if __name__ == "__main__":
    sys.exit(run_many("tests.model", run_one))
