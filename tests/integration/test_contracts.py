"""What every contract of `xmguard.testing` does for an author who leaves something out."""

import subprocess
import sys

import pytest

from xmguard.testing import FeatureContract, LanguageContract, ModalityContract, PolicyContract


@pytest.mark.parametrize(
    ("contract", "lacking"),
    [
        (PolicyContract, "policy, requests"),
        (ModalityContract, "modality, accepted, refused"),
        (FeatureContract, "feature, cases"),
        (LanguageContract, "language, yes, no, not_stated, conflicts, no_conflicts, number_questions"),
    ],
)
def test_a_class_that_lacks_attributes_is_one_failure_that_names_them(contract, lacking):
    class TestMine(contract):
        pass

    with pytest.raises(pytest.fail.Exception) as failed:
        TestMine().pytest_generate_tests(None)
    assert str(failed.value).startswith(f"TestMine lacks {lacking}")
    assert f"{contract.__name__} declares" in str(failed.value)
    assert failed.value.pytrace is False


def test_what_an_heir_declares_for_itself_is_its_own_business():
    class TestMine(ModalityContract):
        modality, accepted, refused = None, (), ()
        later: str

    TestMine().check_attributes()


@pytest.mark.parametrize("package", ["pytest", "hypothesis"])
def test_without_its_packages_the_extra_to_install_is_named(package):
    program = f"import sys; sys.modules[{package!r}] = None; import xmguard.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert said == (
        f"ModuleNotFoundError: xmguard.testing needs {package}, not installed here; run: pip install 'xmguard[testing]'"
    )
