"""`python -m local.simulator`."""

import sys

from local.simulator.cli import main

sys.exit(main())
