"""`xmguard mix train`: what it takes, and the recipe that comes with it."""

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.mixing import command_train, watching
from xmguard_research.mixing.generators import GENERATORS
from xmguard_research.mixing.recipe import Recipe


@pytest.mark.parametrize("given", [{}, {"tiny": True, "recipe": "recipe.yaml"}], ids=["neither", "both"])
def test_it_takes_a_recipe_or_the_tiny_one(given, tmp_path):
    with pytest.raises(InvalidRequest, match="either a recipe or --tiny"):
        command_train.train(tmp_path, **given)


def test_the_tiny_recipe_can_be_read_and_made():
    recipe = Recipe.read(command_train._TINY)
    assert recipe.name == "tiny"
    for source in recipe.data.sources:
        item = next(GENERATORS[source.generator](source.options))
        assert item["messages"][-1]["role"] == "assistant"


def test_where_there_is_no_terminal_it_is_told_now_and_then_how_it_goes(capsys, monkeypatch):
    with command_train._bar(True) as show:
        show("writing instances", 40, 40)
    assert capsys.readouterr().err == ""  # it was done at once
    monkeypatch.setattr(watching, "_PAUSE", 0.0)
    with command_train._bar(True) as show:
        show("reading the base's tokenizer", 0, 0)
        for step in range(1, 41):
            show("loss 1.0", step, 40)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{step} of 40: loss 1.0" for step in range(4, 41, 4)]
    with command_train._bar(False) as show:
        show("loss 1.0", 40, 40)
    assert capsys.readouterr().err == ""
