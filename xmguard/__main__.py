"""Entry point of the `xmguard` command and of `python -m xmguard`. Knows only how to say that the extra is missing."""

from __future__ import annotations

import os
import sys

_CLI_PACKAGES = ("rich", "typer")


def main() -> None:
    """Run the command line; the process ends here."""
    # Read once, when torch loads its OpenMP runtime: threads that spin while they wait for each other make every
    # small operation wait for the scheduler as soon as another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from xmguard.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in _CLI_PACKAGES:
            raise
        print(f'error: the xmguard command needs {error.name}; run: pip install "xmguard[cli]"', file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
