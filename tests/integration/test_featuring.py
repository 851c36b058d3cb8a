"""Features measured on a tiny real model, against the session used directly, and what becomes of the verdict."""

import math
from dataclasses import replace

import pytest

from tests.integration.adapters import Adapted
from xmguard.alone import AloneReading
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.calibration import FeatureWeight, Fit, FittedFor, VerdictProfile
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, InvalidRequest, ModelRefused, PluginError, Reason
from xmguard.evidence import Bounds
from xmguard.featuring import BOTH_ORDERS_UP_TO, compared_pairs
from xmguard.guard import Guard
from xmguard.hookspecs import hookimpl
from xmguard.plugins import load_plugins
from xmguard.profile import CARD, Profile
from xmguard.request import AnswerRequest, Decoding, OnError, Scope
from xmguard.response import Decision, Status
from xmguard.span import Span
from xmguard.verdict.features.explicit import TASK as EXPLICIT
from xmguard.verdict.features.steering import EPSILON
from xmguard.verdict.features.yes_no import NO, YES
from xmguard.verdict.features.yes_no import TASK as YES_NO

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

QUESTION = "Which colour?"
# Ids that joined by colons would make one name of two pairs.
ODD = ("a", "b:c", "a:b", "c")
TEXTS = ("The door is red.", "The door is blue.", "Green paint.", "It was never painted.")


def request(count=3, ids=ODD, **more):
    spans = tuple(Span(id=name, text=text, language="en") for name, text in zip(ids[:count], TEXTS, strict=False))
    settings = {"decoding": Decoding(max_tokens=4), "on_error": OnError.OPEN} | more
    return AnswerRequest(spans=spans, question=QUESTION, **settings)


@pytest.fixture
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


class Direct:
    """The request's session used by hand: the answers alone, and scores of any continuation."""

    def __init__(self, guard, asked):
        self.guard, self.backend = guard, guard.backend
        run = self.run = guard._open(asked, Stop(), "", 0.0)
        self.prompt, self.ids = run.prompt, run.prompt.span_map.ids
        self.alone = AloneReading(self.backend, run.valid.context, run.prompt)
        for token in run.session.decode(self.alone.branches, self.alone.decoding):
            self.alone.take(token)
        self.answers = {span: answer.text for span, answer in self.alone.answers().items()}
        self.count = 0

    def without(self, *kept):
        return {span: REMOVE for span in self.ids if span not in kept}

    def total(self, text, tail, epsilon, scope=Scope.READERS):
        return math.fsum(self.logprobs(text, tail, epsilon, scope))

    def logprobs(self, text, tail, epsilon, scope=Scope.READERS):
        session = TransformersSession(self.backend.loaded, self.prompt, Stop())  # a fresh one: nothing is shared
        branch = Branch("direct", tail, AttentionBias(epsilon, scope))
        return session.score([(branch, self.backend.ids(text))])[0]

    def mean(self, *args, **more):
        found = self.logprobs(*args, **more)
        return math.fsum(max(value, -30.0) for value in found) / len(found)

    def odds(self, tail, epsilon):
        yes, no = (math.fsum(math.exp(self.total(word, tail, epsilon)) for word in words) for words in (YES, NO))
        return math.log(yes / no)


@pytest.fixture
def direct(guard):
    return Direct(guard, request())


def measured(guard, feature, asked=None):
    return guard.evidence(asked or request(), (feature,)).features[feature]


def assert_values(found, wanted):
    assert len(found) == 3
    assert found == {pair: pytest.approx(wanted(*pair), abs=2e-4) for pair in found}
    assert len({round(value, 4) for value in found.values()}) == 3, "the pairs differ, so a mix-up would be seen"


def test_yes_no_is_what_asking_by_hand_gives(guard, direct):
    def odds(reader, said):
        answer = direct.answers[said].strip().rstrip(".")
        tail = direct.backend.tail(YES_NO.format(question=QUESTION, answer=answer))
        return direct.odds(tail, direct.without(reader))

    found = measured(guard, "yes_no")
    assert_values(found, lambda a, b: (odds(a, a) - odds(a, b) + odds(b, b) - odds(b, a)) / 2)


def test_the_explicit_prompt_is_what_asking_by_hand_gives(guard, direct):
    tail = direct.backend.tail(EXPLICIT.format(question=QUESTION))
    assert_values(measured(guard, "explicit_prompt"), lambda a, b: -direct.odds(tail, direct.without(a, b)))


def test_isolated_drop_keeps_the_other_spans_out_of_the_prefill(guard, direct):
    def mean(said, reader, scope=Scope.ALL):
        text = f" {direct.answers[said]}"
        return direct.mean(text, direct.prompt.alone_tail, direct.without(reader), scope)

    def drop(a, b, scope=Scope.ALL):
        return (mean(a, a, scope) - mean(a, b, scope) + mean(b, b, scope) - mean(b, a, scope)) / 2

    found = measured(guard, "isolated_drop")
    assert_values(found, drop)
    pair = next(iter(found))
    assert found[pair] != pytest.approx(drop(*pair, scope=Scope.READERS), abs=1e-2)


def test_steered_flip_lifts_one_span_after_the_other(guard, direct):
    def mean(said, toward, a, b):
        epsilon = direct.without(a, b) | {toward: EPSILON}
        return direct.mean(f" {direct.answers[said]}", direct.prompt.alone_tail, epsilon)

    assert_values(
        measured(guard, "steered_flip"),
        lambda a, b: (mean(a, a, a, b) - mean(a, b, a, b) + mean(b, b, a, b) - mean(b, a, a, b)) / 2,
    )


def test_directed_pull_is_what_each_span_adds_to_its_own_answer(guard, direct):
    def toward(said, a, b):
        session = TransformersSession(direct.backend.loaded, direct.prompt, Stop())
        branch = Branch("direct", direct.prompt.alone_tail, AttentionBias(direct.without(a, b)))
        return session.directed(branch, direct.backend.ids(f" {direct.answers[said]}")).toward

    def pull(a, b):
        own, other = toward(a, a, b), toward(b, a, b)
        return (own[a] - own[b] + other[b] - other[a]) / 2

    assert_values(measured(guard, "directed_pull"), pull)


def test_no_span_id_makes_two_branches_one(guard, registry):
    every = registry.evidence_features.names()
    plain = guard.evidence(request(4, ("w", "x", "y", "z")), every)
    odd = guard.evidence(request(4), every)
    names = dict(zip("wxyz", ODD, strict=True))
    assert set(plain.features) == set(every)
    for feature, values in plain.features.items():
        wanted = {(names[a], names[b]): pytest.approx(value, abs=1e-4) for (a, b), value in values.items()}
        assert odd.features[feature] == wanted


# -- the probe -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(tiny_folder, tmp_path_factory):
    return Adapted(tiny_folder, tmp_path_factory.mktemp("probe") / "adapter")


@pytest.fixture(scope="module")
def probing(tiny_folder, adapted, registry):
    return load(tiny_folder, registry=registry, probe=adapted.source)


def test_probe_features_are_the_means_over_both_orders_where_the_context_is_short(probing, registry, adapted):
    def logits(asked, a, b):
        run = guard._open(asked, Stop(), "", 0.0)
        removed = {span: REMOVE for span in run.prompt.span_map.ids if span not in (a, b)}
        return adapted.reference(run.prompt, run.prompt.probe_tail, AttentionBias(removed)).tolist()

    guard = Guard(probing, registry, model="tiny")
    asked = request(3)
    assert len(guard._open(asked, Stop(), "", 0.0).prompt.context_ids) <= BOTH_ORDERS_UP_TO
    evidence = guard.evidence(asked, ("probe_conflict", "probe_unanswered"))
    turned = replace(asked, spans=asked.spans[::-1])
    for (a, b), value in evidence.features["probe_conflict"].items():
        x, y, z = ((p + q) / 2 for p, q in zip(logits(asked, a, b), logits(turned, a, b), strict=True))
        assert value == pytest.approx(x - y, abs=1e-3)
        wanted = z - math.log(math.exp(x) + math.exp(y))
        assert evidence.features["probe_unanswered"][a, b] == pytest.approx(wanted, abs=1e-3)
    long = replace(asked, spans=(asked.spans[0], replace(asked.spans[1], text=TEXTS[1] * 40)))
    (((a, b), value),) = guard.evidence(long, ("probe_conflict",)).features["probe_conflict"].items()
    x, y, _ = logits(long, a, b)
    assert value == pytest.approx(x - y, abs=1e-3)


def test_a_model_without_a_probe_has_no_values_of_it(guard):
    assert guard.evidence(request(), ("probe_conflict",)).features == {"probe_conflict": {}}


# -- what is compared ------------------------------------------------------------------------------------------------


def test_of_a_group_that_says_the_same_one_span_speaks(guard):
    evidence = guard.evidence(request(4), ())
    kinds = {"a": "25%", "b:c": "It is 25 %", "a:b": "15%", "c": "Not stated."}
    normalize = guard.registry.languages.items["en"].normalize
    spans = tuple(
        replace(span, answer=kinds[span.span_id], normalized=normalize(kinds[span.span_id])) for span in evidence.spans
    )
    assert compared_pairs(replace(evidence, spans=spans)) == (("a", "a:b"), ("a", "b:c"))
    turned = replace(evidence, spans=spans[::-1])
    assert set(compared_pairs(turned)) == {("a:b", "a"), ("b:c", "a")}, "ids in the order of the spans"
    assert compared_pairs(replace(evidence, spans=spans[-1:])) == ()


# -- what plugins may do ---------------------------------------------------------------------------------------------


class Feature:
    """A plugin's, which does what the test says."""

    name = "odd"
    summary = "a test's"
    conflict = comparable = 0

    def __init__(self, measure):
        self.measure = measure


def guarded(backend, measure, **verdict):
    class Plugin:
        @hookimpl
        def xmguard_evidence_features(self):
            return [Feature(measure)]

    return Guard(backend, load_plugins({"odd-plugin": Plugin()}), model="tiny", profile=profile(backend, **verdict))


def profile(backend, feature="odd", **changes):
    fit = Fit(0.0, (FeatureWeight(feature, 1.0, 0.0, 1.0),))
    verdict = VerdictProfile(
        FittedFor(backend.model_hash, backend.engine, backend.dtype), {"same_language": fit}, {}, Bounds(), "a test"
    )
    return Profile("p", "none", verdict=replace(verdict, **changes))


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "3"])
def test_a_feature_that_gives_no_finite_number_ends_the_check_and_is_named(tiny_backend, value, caplog):
    guard = guarded(tiny_backend, lambda reading: dict.fromkeys(reading.pairs, value))
    with pytest.raises(PluginError, match=r"'odd' of plugin 'odd-plugin' gave .* for \('a', 'b:c'\)"):
        guard.evidence(request(2))
    verdict = guard.check(request(2)).verdict
    assert (verdict.status, verdict.decision, verdict.probability) == (Status.ERROR, Decision.UNDETERMINED, None)
    assert "odd-plugin" in caplog.text
    assert "odd" not in verdict.reason


def test_a_feature_for_a_pair_it_was_not_asked_for_is_named(tiny_backend):
    guard = guarded(tiny_backend, lambda reading: {("b:c", "a"): 1.0})
    with pytest.raises(PluginError, match=r"gave 1.0 for \('b:c', 'a'\)"):
        guard.evidence(request(2))
    assert guard.check(request(2)).verdict.status is Status.ERROR


def test_cancelling_while_features_are_measured_ends_the_request(tiny_backend):
    stop = Stop()

    def measure(reading):
        stop.cancel()
        branch = Branch("late", reading.tail("\nWhy?"), AttentionBias())
        reading.session.score([(branch, reading.ids("x"))])
        raise AssertionError("not reached")

    with pytest.raises(Cancelled):
        guarded(tiny_backend, measure).check(request(2), stop=stop)


def test_a_fitted_verdict_weighs_the_feature_and_says_that_it_is_calibrated(tiny_backend):
    guard = guarded(tiny_backend, lambda reading: dict.fromkeys(reading.pairs, 2.0))
    verdict = guard.check(request(2)).verdict
    assert (verdict.status, verdict.decision, verdict.calibrated) == (Status.OK, Decision.CONFLICT, True)
    assert verdict.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert guard.describe().calibration == "calibrated on a test"
    evidence = guard.evidence(request(2))
    assert evidence.features == {"odd": {("a", "b:c"): 2.0}}
    assert guard.judged(evidence).probability == verdict.probability


def test_evidence_of_an_unknown_feature_is_a_key_error(guard):
    with pytest.raises(KeyError, match="nope"):
        guard.evidence(request(1), ("nope",))


@pytest.mark.parametrize("key", ["model_hash", "engine", "dtype"])
def test_a_verdict_fitted_for_another_model_is_not_used_and_says_why(tiny_backend, key):
    own = profile(tiny_backend).verdict.fitted_for
    guard = guarded(tiny_backend, lambda reading: 1 / 0, fitted_for=replace(own, **{key: "other"}))
    said = guard.describe().calibration
    assert said.startswith(f"not calibrated: the profile's verdict was fitted for {key} other, loaded is ")
    assert getattr(own, key)[:16] in said
    verdict = guard.check(request(2)).verdict
    assert (verdict.status, verdict.calibrated) == (Status.OK, False)


def test_a_model_without_a_fitted_verdict_says_so(guard):
    assert guard.describe().calibration == "not calibrated: the model has no profile with a fitted verdict"
    assert not guard.check(request(2)).verdict.calibrated


def test_a_profile_of_an_unknown_feature_is_refused_when_it_is_loaded(tiny_backend, registry):
    with pytest.raises(ModelRefused, match=f"{CARD}: profile.verdict: no plugin provides the features nope"):
        Guard(tiny_backend, registry, model="tiny", profile=profile(tiny_backend, "nope"))


def test_a_profile_with_a_probe_is_refused_by_a_model_loaded_without_it(tiny_backend, probing, adapted, registry):
    with_probe = profile(tiny_backend, "probe_conflict", probe=adapted.source)
    with pytest.raises(ModelRefused, match=r"profile\.verdict\.probe: the model was loaded without it"):
        Guard(tiny_backend, registry, model="tiny", profile=with_probe)
    guard = Guard(probing, registry, model="tiny", profile=with_probe)
    assert guard.check(request(2)).verdict.calibrated


def test_the_probes_tail_counts_toward_the_length_of_a_prompt(probing, registry):
    tokenizer = probing.encoder._tokenizer
    long = replace(probing, encoder=PromptEncoder(tokenizer, registry, "tiny", probe_task="{question}" + "x" * 1000))
    Guard(probing, registry, model="tiny").check(request(2))
    with pytest.raises(InvalidRequest, match="the prompt takes 1"):
        Guard(long, registry, model="tiny").check(request(2))


def read_up_to(backend, monkeypatch):
    """What sessions of the backend are told to read: the farthest position after which something is predicted."""
    ends = [0]

    def heard(name, pairs_of):
        real = getattr(TransformersSession, name)

        def method(self, *arguments):
            context = len(self._prompt.context_ids)
            ends.extend(context + len(branch.tail) + len(ids) - 1 for branch, ids in pairs_of(*arguments))
            return real(self, *arguments)

        monkeypatch.setattr(TransformersSession, name, method)

    heard("score", lambda pairs: pairs)
    heard("directed", lambda branch, answer: [(branch, answer)])
    return ends


@pytest.mark.parametrize("feature", ["explicit_prompt", "yes_no", "isolated_drop", "steered_flip", "directed_pull"])
def test_what_features_read_counts_toward_the_length_of_a_prompt(tiny_backend, registry, feature, monkeypatch):
    def of_length(length):
        loaded = replace(tiny_backend.loaded, context_length=length)
        backend = replace(tiny_backend, loaded=loaded)
        return Guard(backend, registry, model="tiny", profile=profile(backend, feature))

    asked = request(2)
    ready = of_length(1024).prepare(asked)
    prompt = ready.prompt
    length = len(prompt.context_ids) + ready.longest_tail + 1
    assert length > len(prompt.context_ids) + max(len(prompt.joint_tail), len(prompt.alone_tail)) + 1
    ends = read_up_to(tiny_backend, monkeypatch)
    assert of_length(length).check(asked).verdict.status is Status.OK
    assert 0 < max(ends) < length
    with pytest.raises(InvalidRequest, match=f"the prompt takes {length - 1} tokens; .* holds {length - 1},") as caught:
        of_length(length - 1).prepare(asked)
    assert caught.value.reason is Reason.PROMPT_TOO_LONG
    one = of_length(1024).prepare(replace(asked, spans=asked.spans[:1]))  # it has no verdict
    assert one.longest_tail == max(len(prompt.joint_tail), len(prompt.alone_tail))
