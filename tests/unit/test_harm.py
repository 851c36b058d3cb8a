import pytest
import typer

from xmguard.request import Rebalance, Scope
from xmguard_research import harm
from xmguard_research.facts import facts
from xmguard_research.harm import CONDITIONS, Answered, gained_points, is_right, parse_setting, questions
from xmguard_research.metrics import Estimate


@pytest.fixture(scope="module")
def english(registry):
    return registry.languages.items["en"]


def test_every_statement_of_a_fact_answers_its_question_and_no_neighbours(english):
    items = facts()
    assert len(items) >= 60
    assert len({fact.item for fact in items}) == len({fact.question for fact in items}) == len(items)
    for index, fact in enumerate(items):
        assert fact.statements[0] != fact.statements[1]
        assert all(is_right(statement, fact.answer, english) for statement in fact.statements)
        other = items[(index + 1) % len(items)]
        assert not any(is_right(statement, fact.answer, english) for statement in other.statements), fact


def test_the_facts_are_the_same_every_time():
    assert facts() == facts()


def test_each_item_gives_a_consistent_and_an_irrelevant_question():
    made = questions(facts())
    assert [question.condition for question in made[:4]] == [*CONDITIONS, *CONDITIONS]
    for consistent, irrelevant, fact in zip(made[::2], made[1::2], facts(), strict=True):
        assert consistent.statements == fact.statements
        assert len(set(irrelevant.statements) & set(fact.statements)) == 1
    relevant = [question.statements[0] in fact.statements for question, fact in zip(made[1::2], facts(), strict=True)]
    assert relevant.count(True) == relevant.count(False), "the relevant statement stands first as often as last"


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        ("The boat leaves at 9:40.", "9:40", True),
        ("The boat leaves at 19:40.", "9:40", False),
        ("It costs 12 euros.", "12 euros", True),
        ("It costs €12.", "12 euros", True),
        ("It costs 112 euros.", "12 euros", False),
        ("It is Red!", "red", True),
        ("It is reddish.", "red", False),
        ("120", "12", False),
        ("There are 1,120 of them here, as everybody in the town has always known.", "120", False),
        ("", "red", False),
    ],
)
def test_an_answer_is_right_by_its_claim_or_by_its_words(english, said, gold, right):
    assert is_right(said, gold, english) is right


def test_a_setting_is_a_policy_with_its_parameters():
    assert parse_setting("floor minimum=0.5 cap=1") == Rebalance(
        "floor", {"minimum": 0.5, "cap": 1.0}, scope=Scope.READERS
    )
    for broken in ("floor minimum", "floor minimum=much"):
        with pytest.raises(typer.BadParameter, match="is not POLICY NAME=NUMBER"):
            parse_setting(broken)


def rows(setting, right, condition="consistent"):
    return [
        Answered(f"{setting}{k}", str(k // 2), condition, setting, "g", f"{setting}{good}", good, True, "")
        for k, good in enumerate(right)
    ]


def test_points_are_lost_against_the_same_questions():
    base, mine = rows("none", [True] * 16 + [False] * 4), rows("x", [True] * 12 + [False] * 8)
    points = gained_points(mine, base)
    assert points.value == pytest.approx(-20.0)
    assert points.low < points.value < points.high <= 0.0
    assert gained_points(base, base) == Estimate(0.0, 0.0, 0.0, 0)


def test_the_interval_is_wider_when_answers_of_an_item_fall_together():
    base = rows("none", [True] * 40)
    together, apart = [k // 2 % 4 > 0 for k in range(40)], [k % 4 > 0 for k in range(40)]
    wide, narrow = (gained_points(rows("x", right), base) for right in (together, apart))
    assert wide.value == narrow.value == -25.0
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_who_loses_too_much_is_named():
    answered = {
        "none": [*rows("none", [True] * 10), *rows("none", [True] * 10, "irrelevant")],
        "bad": [*rows("bad", [True] * 10), *rows("bad", [True] * 8 + [False] * 2, "irrelevant")],
    }
    assert harm.losers(answered) == ["bad (irrelevant)"]
    assert harm.table(answered).row_count == 6
