"""Which models are steered exactly, and everything that speaks against one.

`proven` lists what the tests prove, `oddities` holds one probe per obstacle, `folder` judges the files, `layout` says
where a model keeps what is read of it. No weight is loaded here and no code of a model's own is run.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from xmguard.backends.transformers.families.architectures import Architectures
from xmguard.backends.transformers.families.examination import Examination, Particular, examine
from xmguard.backends.transformers.families.proven import PICTURES, PROVEN

__all__ = ["PICTURES", "PROVEN", "Examination", "Particular", "examine", "refusals"]


def refusals(folder: Path, architectures: Architectures = MappingProxyType({})) -> list[str]:
    """Every reason why a model folder cannot be loaded safely and read exactly; empty if there is none."""
    return list(examine(folder, architectures).reasons)
