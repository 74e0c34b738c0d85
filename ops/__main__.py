import sys

try:
    from ops.cli import app
except ModuleNotFoundError as missing:
    from workstation.packages import explained

    sys.exit(explained(missing))

if __name__ == "__main__":
    app(prog_name="python -m ops")
