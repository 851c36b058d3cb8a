"""CLQA offline: invented news in pairs of paragraphs, in one language or two, that agree about a question or do not.

Made from templates and the CLDR's formats, the same bytes for a seed. Knows no model, no prompt and no judge.
"""

from xmguard_research.benchmarks.clqa.files import read, write
from xmguard_research.benchmarks.clqa.items import Change, Item, Variant, items, variants
from xmguard_research.benchmarks.clqa.languages import LANGUAGES
from xmguard_research.benchmarks.clqa.paragraphs import SIZES, Paragraph

__all__ = [
    "LANGUAGES",
    "SIZES",
    "Change",
    "Item",
    "Paragraph",
    "Variant",
    "items",
    "read",
    "variants",
    "write",
]
