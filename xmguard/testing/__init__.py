"""What authors of plugins test with: the contracts of policies, modalities and languages, and a tiny model.

Needs the extra `xmguard[testing]`. Nothing that answers requests imports it.
"""

from __future__ import annotations

import pytest

# Before the imports: a failing assertion of a contract then shows its values in the author's own test run.
pytest.register_assert_rewrite("xmguard.testing.languages", "xmguard.testing.modalities", "xmguard.testing.policies")

from xmguard.testing.languages import LanguageContract  # noqa: E402
from xmguard.testing.modalities import ModalityContract  # noqa: E402
from xmguard.testing.policies import PolicyContract  # noqa: E402
from xmguard.testing.tiny import make_model, tiny_model  # noqa: E402

__all__ = ["LanguageContract", "ModalityContract", "PolicyContract", "make_model", "tiny_model"]
