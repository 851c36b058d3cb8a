"""A model behind an API as xmguard's guard sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmguard.abilities import Ability
from xmguard.backends.openai import pieces
from xmguard.backends.openai.api import Api
from xmguard.backends.openai.calls import Calls
from xmguard.backends.openai.prompting import MessageWriter, Written
from xmguard.backends.openai.session import PROBE_TOKENS, ApiSession
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import SelfCheck
from xmguard.deadline import Stop
from xmguard.parts import IMAGE, TEXT
from xmguard.plugins import Registry
from xmguard.request import Prompt
from xmguard.sizes import Sizes

BLIND = "an API of chat completions hands out a model's words, not what is inside of it"
"""Why."""
TEMPLATE_TOKENS = 64
"""What a server's chat template puts around a message, with its standing instructions, is taken to be no more."""
LACKS = dict.fromkeys((Ability.MEASURE, Ability.STEER, Ability.SCORE, Ability.ENTROPY), BLIND)


class OpenAIBackend:
    """Satisfies `xmguard.contracts.Backend`. Requests may share it between threads."""

    engine = "openai"
    dtype = model_hash = evidence_hash = ""
    agrees_with: tuple[str, ...] = ()
    failure = ""
    """An API that fails may answer the next request."""

    def __init__(self, api: Api, calls: Calls, registry: Registry) -> None:
        """`api` has been looked at, in the loop of `calls`."""
        self._api = api
        self._calls = calls
        self._writer = MessageWriter(registry, pictures=api.settings.pictures)
        self.architecture = ""
        self.concurrency = api.settings.concurrency
        self.modalities = (TEXT, IMAGE) if api.settings.pictures else (TEXT,)
        self.context_length = api.settings.context_length or api.served.get(api.model, 0)
        self.lacks: Mapping[Ability, str] = LACKS | {
            ability: why
            for ability, why, offered in (
                (Ability.COUNT, "the API reports no usage", api.offers.usage),
                (Ability.GREEDY, "the API takes no temperature for this model", api.offers.temperature),
            )
            if not offered
        }

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """The pieces of the message and the position of every span."""
        return self._writer.encode(context, prompt)

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Ids of what ends the message, the opening included."""
        return self._writer.tail(task, opening)

    def ids(self, text: str) -> tuple[int, ...]:
        """The text as one piece."""
        return (pieces.piece(text),)

    def sizes(self, prompt: EncodedPrompt) -> Sizes:
        """Every call sends the whole message. No vocabulary takes more tokens than a text has bytes."""
        written = prompt.media
        assert isinstance(written, Written)  # it is what `encode` puts there
        context = written.tokens + TEMPLATE_TOKENS
        return Sizes(
            spans=len(prompt.span_map),
            context=context,
            joint_tail=_bytes(prompt.joint_tail),
            alone_tail=_bytes(prompt.alone_tail),
            probe_tail=_bytes(prompt.probe_tail),
            keeps=False,
            again=context,
            probe_says=PROBE_TOKENS,
        )

    def open(self, prompt: EncodedPrompt, stop: Stop) -> ApiSession:
        """Nothing is sent before a branch is decoded."""
        return ApiSession(self._api, self._calls, prompt, stop)

    def text(self, ids: Sequence[int]) -> str:
        """What the pieces say."""
        return pieces.text(ids)

    def self_test(self) -> Sequence[SelfCheck]:
        """Ask once more. That the model reads nothing but what it is sent is taken on trust."""
        self._calls.begin(self._api.look()).result()
        return self.offered()

    def offered(self) -> Sequence[SelfCheck]:
        """What the API offers, as the last look at it showed."""
        offers = self._api.offers
        alternatives = f"offered, with the {offers.alternatives} likeliest tokens at each place"
        return [
            SelfCheck("the API answers", True, f"{self._api.model} at {self._api.settings.base_url}"),
            SelfCheck("log-probabilities", True, alternatives if offers.logprobs else "not offered"),
            *(SelfCheck(ability.value, True, f"absent: {why}") for ability, why in self.lacks.items()),
        ]

    def close(self) -> None:
        """End the calls, their connections and their thread."""
        self._calls.close(self._api.close())


def _bytes(tail: Sequence[int]) -> int:
    return len(pieces.text(tail).encode())
