"""Entry point of the `xmguard` command and of `python -m xmguard`. Knows only how to say that the extra is missing."""

from __future__ import annotations

import sys

_CLI_PACKAGES = ("rich", "typer")


def main() -> None:
    """Run the command line; the process ends here."""
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
