"""Makes the plugin and its test parts importable also where it is not installed; nothing installed joins in."""

import os
import sys
from pathlib import Path

import pytest

os.environ["XMGUARD_PLUGINS"] = ""
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    from tiny_parts import make_base

    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def parts(base):
    from tiny_parts import make_parts

    return make_parts(base)
