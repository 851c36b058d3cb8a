from xmguard.guard import Guard
from xmguard_research.facts import facts
from xmguard_research.harm import answer, questions


def test_a_question_is_answered_under_every_setting_as_one_batch(tiny_backend, registry):
    guard = Guard(tiny_backend, registry, model="tiny")
    question = questions(facts())[1]
    settings = ["none", "fixed epsilon=0", "fixed epsilon=6"]
    plain, same, lifted = answer(guard, question, settings)
    assert plain.answer == same.answer != lifted.answer
    assert [row.applied for row in (plain, same, lifted)] == [False, False, True]
    assert len({row.key for row in (plain, same, lifted)}) == 3
    assert plain == answer(guard, question, ["none"])[0], "a batch changes no answer"
