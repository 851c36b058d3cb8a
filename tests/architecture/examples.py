"""Prints the whole examples of `plugins/README.md` as one module, for `make lint` to check their types."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "plugins/README.md"

if __name__ == "__main__":
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    print("\n\n".join(block for block in blocks if block.startswith("from ")))  # others are fragments
