"""Pictures made from emoji and text, with questions and short answers: no photographs, and no claim to look like any.

A scene is pure values; `draw` renders it in an art style. Training pictures are drawn in Noto Color Emoji; the Fluent
style is held out. See README.md beside this file for what each split holds.

    python -m xmguard_research.scenes fetch
    python -m xmguard_research.scenes show --style noto --out sheet.png
"""

from xmguard_research.scenes.canvas import Mark
from xmguard_research.scenes.pictures import KINDS, STYLES, Picture, draw, pictures, scenes
from xmguard_research.scenes.spec import SKILLS, SPLITS, Fact, Question, Scene

__all__ = [
    "KINDS",
    "SKILLS",
    "SPLITS",
    "STYLES",
    "Fact",
    "Mark",
    "Picture",
    "Question",
    "Scene",
    "draw",
    "pictures",
    "scenes",
]
