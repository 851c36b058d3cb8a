"""Makes the plugin importable also where it is not installed; nothing installed joins in."""

import os
import sys
from pathlib import Path

os.environ["XMGUARD_PLUGINS"] = ""
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
