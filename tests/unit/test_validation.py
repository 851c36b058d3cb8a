import math
from dataclasses import replace

import pytest

from xmguard.errors import ErrorCode, InvalidRequest, ModelNotFound
from xmguard.hookspecs import hookimpl
from xmguard.plugins import load_plugins
from xmguard.profile import Profile
from xmguard.request import AnswerRequest, Decoding, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import Limits
from xmguard.span import Media, Span
from xmguard.validation import DEFAULT_MAX_TOKENS, validate

RED = "The bus that stops in front of the town hall is painted red."
GOOD = AnswerRequest(spans=(Span(text=RED), Span(text=RED.replace("red", "blue"))), question="Which colour?")
LIMITS = Limits(max_prompt_tokens=100)


def check(request, registry, default=Rebalance("none")):  # noqa: B008
    profile = Profile("", default.policy, default.parameters)
    return validate(request, model="tiny", profile=profile, limits=LIMITS, registry=registry)


def test_defaults_are_settled(registry):
    valid = check(GOOD, registry)
    request = valid.request
    assert [span.id for span in request.spans] == ["s1", "s2"]
    assert request.model == "tiny"
    assert request.prompt is Prompt.STANDARD
    assert request.on_conflict is OnConflict.REPORT
    assert request.on_error is OnError.CLOSED
    assert request.rebalance == Rebalance("none", scope=Scope.READERS)
    assert request.decoding.max_tokens == DEFAULT_MAX_TOKENS
    assert [(span.modality, span.language) for span in valid.context.spans] == [("text", "en"), ("text", "en")]


def test_free_ids_skip_those_that_are_taken(registry):
    spans = (Span(text="a b c"), Span("s1", "d e f"), Span(text="g h i"), Span("s3", "j"), Span(text="k"))
    assert [span.id for span in check(replace(GOOD, spans=spans), registry).request.spans] == [
        "s2",
        "s1",
        "s4",
        "s3",
        "s5",
    ]


def test_a_callers_language_is_kept_and_an_unknown_one_is_und(registry):
    spans = (Span(text=RED, language="pt-BR"), Span(text="42"))
    assert [span.language for span in check(replace(GOOD, spans=spans), registry).context.spans] == ["pt-BR", "und"]


def test_a_parameter_per_span_takes_any_id_of_the_request(registry):
    spans = (Span("a.b", RED), Span("share.a", RED), Span("SPAN", RED))
    parameters = {"share.a.b": 0.1, "share.share.a": 0.1, "share.SPAN": 0.1}
    request = check(replace(GOOD, spans=spans, rebalance=Rebalance("target", parameters)), registry).request
    assert request.rebalance.per_span("share") == {"a.b": 0.1, "share.a": 0.1, "SPAN": 0.1}


def test_a_request_without_a_policy_gets_the_default_and_its_parameters(registry):
    default = Rebalance("floor", {"minimum": 0.5, "cap": 1.0})
    settled = check(GOOD, registry, default).request.rebalance
    assert (settled.policy, settled.parameters) == ("floor", {"minimum": 0.5, "cap": 1.0})


def test_a_requests_own_parameters_replace_those_of_the_default(registry):
    default = Rebalance("floor", {"minimum": 0.5, "cap": 1.0})
    for rebalance in (Rebalance(parameters={"minimum": 0.2}), Rebalance("floor", {"minimum": 0.2})):
        settled = check(replace(GOOD, rebalance=rebalance), registry, default).request.rebalance
        assert (settled.policy, settled.parameters) == ("floor", {"minimum": 0.2})
    settled = check(replace(GOOD, rebalance=Rebalance("none")), registry, default).request.rebalance
    assert (settled.policy, settled.parameters) == ("none", {})


def test_the_language_of_a_question_is_kept_also_where_it_cannot_be_put_in_it(registry):
    context = check(replace(GOOD, question="Kiedy odjeżdża ostatni pociąg z Warszawy?"), registry).context
    assert (context.asked_in, context.question_language) == ("en", "pl")
    context = check(replace(GOOD, question="When does the last train to Warsaw leave?"), registry).context
    assert (context.asked_in, context.question_language) == ("en", "en")


SPAN = Span(text="x y")
BAD = {
    "empty question": (replace(GOOD, question=""), "question", "empty"),
    "blank question": (replace(GOOD, question=" \n"), "question", "empty"),
    "no spans": (replace(GOOD, spans=()), "spans", "empty"),
    "65 spans": (replace(GOOD, spans=(SPAN,) * 65), "spans", "holds 65; at most 64"),
    "duplicate ids": (replace(GOOD, spans=(Span("a", "x"), Span("a", "y"))), "spans[1].id", "used twice"),
    "blank text": (replace(GOOD, spans=(SPAN, Span(text=" "))), "spans[1].text", "empty"),
    "half a character in a text": (
        replace(GOOD, spans=(Span(text="a \ud800 b"),)),
        "spans[0].text",
        "half of a surrogate",
    ),
    "half a character in the question": (replace(GOOD, question="a \udcff?"), "question", "half of a surrogate pair"),
    "no content": (replace(GOOD, spans=(SPAN, Span("b"))), "spans[1]", "no content"),
    "media without a plugin": (
        replace(GOOD, spans=(SPAN, Span(media=Media("image/png", b"\x89PNG")))),
        "spans[1].media.media_type",
        'no installed plugin takes "image/png"; only text is taken; '
        "install it where the model runs: pip install xmguard-image",
    ),
    "media of a kind that nobody has a plugin for": (
        replace(GOOD, spans=(SPAN, Span(media=Media("audio/wav", b"RIFF")))),
        "spans[1].media.media_type",
        "only text is taken; install a plugin that takes it",
    ),
    "no media type": (
        replace(GOOD, spans=(SPAN, Span(media=Media("PNG\n", b"\x89PNG")))),
        "spans[1].media.media_type",
        'is no media type such as "image/png"',
    ),
    "17 media": (
        replace(GOOD, spans=(Span(media=Media("image/png", b"\x89PNG")),) * 17),
        "spans",
        "holds 17 media; at most 16",
    ),
    "empty media": (
        replace(GOOD, spans=(Span(media=Media("image/png", b"")),)),
        "spans[0].media.data",
        "empty",
    ),
    "too large media": (
        replace(GOOD, spans=(Span(media=Media("image/png", bytes(LIMITS.max_media_bytes + 1))),)),
        "spans[0].media.data",
        "at most 8388608",
    ),
    "unknown policy": (
        replace(GOOD, rebalance=Rebalance("fix")),
        "rebalance.policy",
        '"fix" is not known; known: fixed, floor, none, soften, target',
    ),
    "unknown parameter": (
        replace(GOOD, rebalance=Rebalance("fixed", {"eps": 1.0})),
        'rebalance.parameters["eps"]',
        "its parameters: epsilon",
    ),
    "parameter of the wrong policy": (
        replace(GOOD, rebalance=Rebalance("none", {"epsilon": 1.0})),
        'rebalance.parameters["epsilon"]',
        "its parameters: none",
    ),
    "NaN parameter": (
        replace(GOOD, rebalance=Rebalance("fixed", {"epsilon": math.nan})),
        'rebalance.parameters["epsilon"]',
        "not a number",
    ),
    "parameter of a span that is not there": (
        replace(GOOD, rebalance=Rebalance("target", {"share.s3": 0.5})),
        'rebalance.parameters["share.s3"]',
        '"s3" is no span of this request; spans: s1, s2',
    ),
    "parameter with the placeholder itself": (
        replace(GOOD, rebalance=Rebalance("target", {"share.SPAN": 0.5})),
        'rebalance.parameters["share.SPAN"]',
        '"SPAN" is no span of this request',
    ),
    "span of a parameter that is not per span": (
        replace(GOOD, rebalance=Rebalance("soften", {"temperature.s1": 2.0})),
        'rebalance.parameters["temperature.s1"]',
        "its parameters: temperature",
    ),
    "NaN parameter of a span": (
        replace(GOOD, rebalance=Rebalance("target", {"share.s1": math.nan})),
        'rebalance.parameters["share.s1"]',
        "not a number",
    ),
    "bias without policy fixed": (replace(GOOD, rebalance=Rebalance(bias={"s1": 1.0})), "rebalance.bias", '"fixed"'),
    "NaN bias": (
        replace(GOOD, rebalance=Rebalance("fixed", bias={"s1": math.nan})),
        'rebalance.bias["s1"]',
        "is nan",
    ),
    "bias past the range": (
        replace(GOOD, rebalance=Rebalance("fixed", bias={"s1": 20.5})),
        'rebalance.bias["s1"]',
        "is 20.5; from -infinity to 20 nats",
    ),
    "inf bias": (
        replace(GOOD, rebalance=Rebalance("fixed", bias={"s1": math.inf})),
        'rebalance.bias["s1"]',
        "inf",
    ),
    "bias on no span": (
        replace(GOOD, rebalance=Rebalance("fixed", bias={'a"]\nb': 1.0})),
        r'rebalance.bias["a\"]\nb"]',
        "is no span of this request; spans: s1, s2",
    ),
    "long id": (replace(GOOD, spans=(SPAN, Span("x" * 129, "y"))), "spans[1].id", "at most 128"),
    "control character in an id": (replace(GOOD, spans=(SPAN, Span("a\x1b[31m", "y"))), "spans[1].id", "control"),
    "break in a source": (
        replace(GOOD, spans=(SPAN, Span("a", "y", source="a\nb"))),
        "spans[1].source",
        "control",
    ),
    "no language tag": (
        replace(GOOD, spans=(SPAN, Span("a", "y", language="not a tag!"))),
        "spans[1].language",
        "BCP-47",
    ),
    "name of a language": (
        replace(GOOD, spans=(SPAN, Span("a", "y", language="Spanish"))),
        "spans[1].language",
        "BCP-47",
    ),
    "text past any context": (
        replace(GOOD, spans=(SPAN, Span("a", "y" * 6401))),
        "spans[1].text",
        "holds 6401 characters, more than the model's context of 100 tokens",
    ),
    "question past any context": (replace(GOOD, question="y" * 6401), "question", "holds 6401 characters"),
    "too many tokens": (replace(GOOD, decoding=Decoding(5000)), "decoding.max_tokens", "at most 1024"),
    "negative temperature": (replace(GOOD, decoding=Decoding(1, -0.1)), "decoding.temperature", "-0.1"),
    "temperature that divides by nothing": (
        replace(GOOD, decoding=Decoding(1, 1e-38)),
        "decoding.temperature",
        "from 0.01 to 10",
    ),
    "NaN temperature": (replace(GOOD, decoding=Decoding(1, math.nan)), "decoding.temperature", "nan"),
    "threshold": (replace(GOOD, conflict_threshold=1.5), "conflict_threshold", "from 0 to 1"),
    "NaN threshold": (replace(GOOD, conflict_threshold=math.nan), "conflict_threshold", "from 0 to 1"),
}


@pytest.mark.parametrize(("request_", "field", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_names_its_field(registry, request_, field, words):
    with pytest.raises(InvalidRequest) as caught:
        check(request_, registry)
    found = {violation.field: violation.description for violation in caught.value.violations}
    assert words in found[field]
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert "\n" not in str(caught.value)


class Pictures:
    """Takes two kinds of pictures, and never reads one here."""

    name = "pictures"
    media_types = ("image/png", "image/jpeg")

    def parts(self, span):
        raise NotImplementedError


class Plugin:
    @hookimpl
    def xmguard_modalities(self):
        return [Pictures()]

    @hookimpl(tryfirst=True)
    def xmguard_detect_language(self, text):
        return "en"


@pytest.fixture
def with_pictures():
    return load_plugins(extra={"pictures": Plugin()})


def test_media_have_the_modality_that_takes_them_and_no_language_but_the_callers(with_pictures):
    picture = Media("image/png", b"not looked at here")
    spans = (Span(media=picture), Span(media=picture, language="zh"), Span(text="42"))
    context = check(replace(GOOD, spans=spans), with_pictures).context
    found = [(span.modality, span.language) for span in context.spans]
    assert found == [("pictures", "und"), ("pictures", "zh"), ("text", "en")]


def test_a_picture_of_another_kind_is_refused_with_those_that_are_taken(with_pictures):
    request = replace(GOOD, spans=(Span(media=Media("image/gif", b"GIF89a")),))
    with pytest.raises(InvalidRequest) as caught:
        check(request, with_pictures)
    assert "taken: image/jpeg, image/png; send one of these" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_all_violations_are_listed_at_once(registry):
    request = AnswerRequest(spans=(Span("a", " "), Span("a", "y")), decoding=Decoding(5000), conflict_threshold=-1)
    with pytest.raises(InvalidRequest) as caught:
        check(request, registry)
    assert [violation.field for violation in caught.value.violations] == [
        "question",
        "spans[0].text",
        "spans[1].id",
        "decoding.max_tokens",
        "conflict_threshold",
    ]


def test_another_model_is_not_found(registry):
    with pytest.raises(ModelNotFound, match='"gpt" is not served here; served: tiny'):
        check(replace(GOOD, model="gpt"), registry)
    assert check(replace(GOOD, model="tiny"), registry).request.model == "tiny"
