"""Makes an installed torchvision importable under a torch without CUDA; `python tests/vllm/importable_torchvision.py`.

vLLM's models that read pictures import torchvision. Package registries have a build for CUDA, whose compiled operators
such a torch cannot load, and its import ends at the names of two of them. Resizing and the like need no operator, so
here the names are declared when torchvision is imported. Where it can be imported as it is, nothing is done.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OPERATORS = ("nms", "qnms")
ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declaring:
    """Finds nothing; declares the names before torchvision is looked for elsewhere."""

    library = None

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "torchvision" and cls.library is None:
            import torch

            cls.library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                cls.library.define(operator + ARGUMENTS)


def install():
    """In every Python of the environment."""
    sys.meta_path.insert(0, Declaring)


if __name__ == "__main__":
    found = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    if found.returncode and "torchvision::nms does not exist" in found.stderr:
        packages = Path(sysconfig.get_path("purelib"))
        name = Path(shutil.copy(__file__, packages)).stem
        (packages / f"{name}.pth").write_text(f"import {name}; {name}.install()\n", encoding="utf-8")
        found = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    sys.exit(found.stderr if found.returncode else 0)
