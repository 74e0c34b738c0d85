"""`python -m local.secret_manager --port P [--file F]`: run the stand-in alone until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from local.secret_manager import SecretManagerStandIn

ENDS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.secret_manager", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (the default) selects a free port")
    parser.add_argument("--file", type=Path, help="file to keep the secrets in, in plain text (default: memory only)")
    asked = parser.parse_args()
    # Waited for below, not handled: a signal just before a wait, or one that another thread receives, would not end it.
    # The threads that are started from here inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        stand_in = SecretManagerStandIn(port=asked.port, file=asked.file)
    except OSError as error:
        print(f"secret manager: {error}: choose another with --port", file=sys.stderr)
        return 1
    with stand_in:
        print(f"secret manager ready on {stand_in.address}", flush=True)
        signal.sigwait(ENDS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
