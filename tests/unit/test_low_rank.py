"""Which adapters are plain: PEFT has kinds of LoRA that change more than is applied here."""

from peft import LoraConfig
from peft.tuners.lora.layer import Linear

from xmguard.backends import low_rank


def test_every_kind_of_lora_that_peft_has_is_told_from_a_plain_one():
    kinds = {name for names in Linear.lora_variants.fget(None) for name in names}
    by_their_beginning = {"mica"}  # `init_lora_weights` says so
    assert kinds - by_their_beginning <= set(low_rank._PLAIN)


def test_pefts_own_defaults_are_plain():
    assert low_rank._scaling(LoraConfig(r=4, lora_alpha=12).to_dict()) == (4, 3.0)
