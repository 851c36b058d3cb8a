"""Features that run no model, on evidence made by hand."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xmguard.contracts import EvidenceFeature
from xmguard.evidence import Evidence, SpanEvidence
from xmguard.languages.english import English
from xmguard.languages.sentences import sentences
from xmguard.verdict.features import built_in
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.features.related import RelatedElsewhere
from xmguard.verdict.words import content_words

FEATURES = {feature.name: feature for feature in built_in()}
AB = ("a", "b")
RUN_A_MODEL = {"probe_conflict", "probe_unanswered", "yes_no", "isolated_drop", "steered_flip", "directed_pull"} | {
    "explicit_prompt"
}


@dataclass(frozen=True)
class Reading:
    """As much of `EvidenceReading` as features without a model look at; they compare English words."""

    evidence: Evidence
    pairs: tuple[tuple[str, str], ...] = (AB,)
    session: None = None

    def language(self, tag):
        return English()

    def content_words(self, text, language):
        return content_words(text, English().function_words)

    def sentences(self, text, language):
        return sentences(text, language)


def span(name, answer="", text="", language="en", **more):
    numbers = {"entropy": None, "own": (), "under": {}, "prior": (), "tokens": ()} | more
    return SpanEvidence(name, language, answer, English().normalize(answer), text=text, **numbers)


def value(feature, a, b, question="Which colour has the door?"):
    found = FEATURES[feature].measure(Reading(Evidence(question, (a, b))))
    assert set(found) <= {AB}
    return found.get(AB)


def scored(name, own, under, prior=(), **more):
    other = "b" if name == "a" else "a"
    return span(name, "it is red", own=own, under={other: under}, prior=prior, **more)


A = scored("a", (-1.0, -2.0, -1.0, -4.0), (-2.0, -2.0, -2.0, -8.0), (-3.0,) * 4, entropy=1.0)
B = scored("b", (-1.0, -1.0), (-3.0, -1.0), (-1.5, -1.5), entropy=0.5)


@pytest.mark.parametrize(
    ("feature", "wanted"),
    [
        ("likelihood_drop", (6 / 4 + 2 / 2) / 2),
        ("prefix_drop", (2 / 3 + 2 / 2) / 2),
        # a keeps nothing of its gain of 1 and b nothing of its gain of a half: both lost all.
        ("lost_gain", 1.0),
        ("entropy", 1.0),
        ("relative_uncertainty", 2 * 0.5 / 1.5),
        ("gain", 0.5),
    ],
)
def test_features_of_likelihoods_are_what_they_are_by_hand(feature, wanted):
    assert value(feature, A, B) == pytest.approx(wanted)


def test_a_share_of_the_gain_may_be_kept():
    a = scored("a", (-1.0,), (-1.5,), (-3.0,))
    b = scored("b", (-1.0,), (-0.5,), (-3.0,))
    assert value("lost_gain", a, b) == pytest.approx((0.25 + 0.0) / 2)


@pytest.mark.parametrize("feature", ["likelihood_drop", "prefix_drop", "content_drop", "lost_gain", "entropy", "gain"])
def test_what_was_not_scored_has_no_value_and_one_direction_is_enough_for_a_drop(feature):
    bare = span("b", "blue")
    assert value(feature, span("a", "red"), bare) is None
    one = value(feature, replace(A, tokens=("it", " is", " re", "d")), bare)
    assert (one is None) is (feature in ("entropy", "gain"))


def test_content_drop_counts_the_tokens_of_words_that_the_question_does_not_hold():
    a = replace(A, answer="The door is crimson", tokens=("The", " door", " crim", "son"))
    assert value("content_drop", a, span("b", "blue")) == pytest.approx((1 + 4) / 2)
    assert value("content_drop", replace(a, answer="The door", tokens=("The", " door")), span("b")) is None


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [("25%", "25 percent", -1.0), ("25%", "15%", 1.0), ("red", "crimson", 0.0), ("red", "Not stated.", None)],
)
def test_answers_differ_as_far_as_can_be_told(a, b, wanted):
    assert value("answers_differ", span("a", a), span("b", b)) == wanted


def test_shared_words_leaves_out_function_words_and_the_question():
    a, b = span("a", text="The door is a red door."), span("b", text="Red is the colour of tulips.")
    assert value("shared_words", a, b) == pytest.approx(1 / 2)
    assert value("shared_words", a, span("b")) is None
    assert value("shared_words", span("a", text="The door."), b) is None


def test_question_words_counts_the_less_telling_span():
    a, b = span("a", text="The colour of the dooor."), span("b", text="A door.")
    assert value("question_words", a, b, "Which colour has the dooor?") == 0.0
    assert value("question_words", a, b) == 0.5, "colour, and dooor stays no cognate of the short door; b has door"
    assert value("question_words", a, b, "Who is it?") is None
    assert value("question_words", a, span("b")) is None


def test_an_answer_elsewhere_counts_what_its_own_span_says_only():
    a = span("a", "The crimson gate of Atlantis", "The gate is crimson.")
    b = span("b", "blue", "The gate is blue.")
    # a: crimson is not in b, gate is, Atlantis is invented; b: blue is not in a.
    assert value("answer_elsewhere", a, b) == pytest.approx((1 / 2 + 1) / 2)
    assert value("answer_elsewhere", a, span("b", "", "The gate is crimson.")) == 0.0
    invented = span("a", "Atlantis", "The gate is crimson.")
    assert value("answer_elsewhere", invented, span("b", "", "Nothing.")) is None
    assert value("answer_elsewhere", a, span("b", "blue")) is None, "media have no words"


def test_cognates_of_another_language_count_as_the_same_word():
    a = span("a", "in Africa", "It lives in Africa.")
    b = span("b", "Afrika", "Es lebt in Afrika.", language="de")
    assert value("answer_elsewhere", a, b) == 0.0


def test_numbers_elsewhere_counts_numbers_only_in_whatever_digits():
    a = span("a", "1,000 red doors", "There are 1,000 red doors.")
    b = span("b", "١٬٠٠٠", "هناك ١٬٠٠٠ باب", language="ar")
    assert value("numbers_elsewhere", a, b) == 0.0
    assert value("numbers_elsewhere", a, span("b", "15", "There are 15 red doors.")) == 1.0
    assert value("numbers_elsewhere", span("a", "red", "A red one."), span("b", "blue", "A blue one.")) is None


def swapped(evidence):
    """The spans with everything but their ids exchanged."""
    a, b = evidence.spans
    turn = {"a": "b", "b": "a"}
    return replace(
        evidence,
        spans=tuple(
            replace(one, span_id=turn[one.span_id], under={turn[k]: v for k, v in one.under.items()}) for one in (b, a)
        ),
    )


logprobs = st.floats(-9, 0)
text = st.lists(st.sampled_from(["red", "blue", "door", "colour", "1,000", "afrika", "africa", "the"]), max_size=4).map(
    " ".join
)


@st.composite
def spans(draw, name, other):
    tokens = tuple(f" {word}" for word in draw(text).split())
    rows = st.tuples(*[logprobs] * len(tokens))
    return span(
        name,
        "".join(tokens),
        draw(text),
        tokens=tokens,
        own=draw(rows),
        under={other: draw(rows)} if draw(st.booleans()) else {},
        prior=draw(rows),
        entropy=draw(st.none() | st.floats(0, 5)),
    )


@settings(max_examples=60, deadline=None)
@given(a=spans("a", "b"), b=spans("b", "a"))
def test_features_are_symmetric_in_the_spans(a, b):
    evidence = Evidence("Which colour?", (a, b))
    for name in FEATURES.keys() - RUN_A_MODEL:
        one, other = (FEATURES[name].measure(Reading(e)).get(AB) for e in (evidence, swapped(evidence)))
        assert one == (None if other is None else pytest.approx(other)), name


def test_every_feature_satisfies_the_contract_and_says_where_it_points():
    for feature in FEATURES.values():
        assert isinstance(feature, EvidenceFeature)
        assert feature.summary
        assert {feature.conflict, feature.comparable} <= {-1, 0, 1}
    assert len(FEATURES) == len(list(built_in()))


def test_a_probes_log_odds_are_limited_and_do_not_overflow():
    def read(feature, *logits):
        return FEATURES[feature].measure(SimpleNamespace(probed={AB: logits}))[AB]

    assert read("probe_conflict", 3.0, 1.0, 9.0) == 2.0
    assert read("probe_unanswered", 0.0, 0.0, 1.0) == pytest.approx(1.0 - 0.6931472)
    assert (read("probe_conflict", 900.0, -900.0, 0.0), read("probe_unanswered", 900.0, 800.0, 0.0)) == (12.0, -12.0)
    assert read("probe_unanswered", -900.0, -900.0, 0.0) == 12.0


ids = st.text(st.sampled_from("a:'\",() \\"), min_size=1, max_size=4)
named = st.tuples(st.sampled_from(["yes_no", "steered_flip", "a"]), st.lists(ids, min_size=1, max_size=3))


@settings(deadline=None)
@given(one=named, other=named)
@example(one=("yes_no", ["a:b", "c"]), other=("yes_no", ["a", "b:c"]))
@example(one=("yes_no", ["a', 'b"]), other=("yes_no", ["a", "b"]))
@example(one=("a", ["b, c"]), other=("a", ["b", "c"]))
def test_two_branches_share_a_name_only_if_they_are_one(one, other):
    names = [branch_name(feature, *spans) for feature, spans in (one, other)]
    assert (names[0] == names[1]) is (one == other)
    assert not any(name.startswith("alone:") or name in ("unread", "joint", "unbiased") for name in names)


# -- related_elsewhere -------------------------------------------------------------------------------------------------


def related(question, a, b, languages=("en", "en")):
    spans = (span("a", text=a, language=languages[0]), span("b", text=b, language=languages[1]))
    return RelatedElsewhere().measure(Reading(Evidence(question, spans))).get(AB)


def test_the_number_of_the_sentence_a_question_is_about_is_looked_up_elsewhere():
    text = "The fort was built in 1613. The ferry carries 340 people."
    question = "How many people does the ferry carry?"
    assert related(question, text, "The ferry holds 340 people, in 12 cabins.") == pytest.approx(
        0.25
    )  # 12 has no match
    assert related(question, text, "The ferry holds 90 people.") == 1.0
    assert related(question, text, "Die Fähre hat Platz für 340.", ("en", "de")) == 0.0  # no word of the question there


def test_numbers_in_words_count_where_the_language_is_known():
    assert related("How many cats are there?", "There are four cats.", "I saw 4 cats.") == 0.0
    assert related("How many cats are there?", "There are four cats.", "I saw 5 cats.") == 1.0


def test_names_count_where_no_number_is_asked_for():
    question = "Who built the bridge?"
    assert related(question, "The bridge was built by Anna Berg in 1901.", "Anna Berg built the bridge in 1850.") == 0.0
    assert related(question, "The bridge was built by Anna Berg.", "The bridge was built by Karl Holm.") == 1.0


def test_scripts_without_capitals_have_no_names_to_look_up():
    question = "Who built the bridge?"
    assert related(question, "The bridge was built by Anna Berg.", "这座桥是卡尔建造的。", ("en", "zh")) is None


def test_a_text_that_shares_no_word_with_the_question_tells_nothing():
    assert related("Who built the bridge?", "Anna sings.", "Karl sings.") is None
