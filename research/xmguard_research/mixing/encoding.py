"""Turns an instance into token ids: which of them are targets, and where its task begins.

As in serving, the chat template is rendered around markers, so no text of an item ever passes through it, and each text
part is tokenised by itself: what a model is trained on is what it will be asked, to the token. A picture is the run of
tokens that the model's processor makes of it. Knows no model.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xmguard.backends.prompting import PromptEncoder
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.plugins import Registry
from xmguard_research.mixing.items import ASSISTANT, picture_below
from xmguard_research.mixing.pictures import InstancePictures, Placed

Instance = Mapping[str, Any]
"""A line of `instances.jsonl`: `id`, and `messages` whose contents are lists of parts."""
IGNORED = -100
"""The label of a token that is no target, as torch's cross-entropy has it."""


@dataclass(frozen=True)
class Encoded:
    """One instance as token ids."""

    ids: tuple[int, ...]
    targets: tuple[range, ...]
    """Positions in `ids` that carry a loss, one range for each assistant message: its ids and the end-of-turn token."""
    task: int
    """Position at which the last part of the last user message begins; what lies before is the context."""
    pictures: tuple[Placed, ...] = ()
    """In order."""

    @cached_property
    def labels(self) -> list[int]:
        """`ids` where they are targets, IGNORED elsewhere."""
        labels = [IGNORED] * len(self.ids)
        for span in self.targets:
            labels[span.start : span.stop] = self.ids[span.start : span.stop]
        return labels

    @property
    def trained(self) -> int:
        """Tokens that carry a loss."""
        return sum(map(len, self.targets))


@dataclass(frozen=True)
class Frame:
    """What a chat template puts around the messages of a conversation with certain roles."""

    before: tuple[tuple[int, ...], ...]
    """Token ids before each message."""
    after: tuple[tuple[int, ...], ...]
    """Token ids after each message that belong to it: an assistant's end-of-turn token."""


class InstanceEncoder:
    """Encodes instances for one tokenizer. Stateless but for the frames it has rendered."""

    def __init__(
        self,
        tokenizer: Any,
        registry: Registry,
        model: str,
        end_ids: frozenset[int],
        *,
        template: str | None = None,
        pictures: InstancePictures | None = None,
        folder: Path = Path(),
    ) -> None:
        """Encode for one model.

        Args:
            tokenizer: a fast tokenizer of transformers.
            registry: for the language plugins.
            model: what to call it when it is refused.
            end_ids: tokens that end an answer.
            template: chat template in place of the tokenizer's own.
            pictures: of a model that reads pictures.
            folder: which the paths of pictures are relative to.

        Raises:
            ModelRefused: its chat template does not repeat a user's message exactly once, unchanged.
        """
        self._tokenizer = tokenizer
        self._template = template
        self.ids: Callable[[str], Sequence[int]] = PromptEncoder(tokenizer, registry, model, template=template).ids
        """Token ids of a text; raises InvalidRequest for one that can only be read as a control token."""
        self._pictures = pictures
        self._folder = folder
        self._model = model
        self._end_ids = end_ids
        self._frames: dict[tuple[str, ...], Frame] = {}

    def encode(self, instance: Instance) -> Encoded:
        """Token ids of an instance, its targets, and where its task begins.

        Raises:
            InvalidRequest: naming the instance: it holds no reply to a user's message, a picture that this model cannot
                read, or that does not stand in a user's message, or text that its tokenizer can only read as a control
                token.
            ModelRefused: the model's chat template cannot be cut at the messages.
        """
        messages = instance["messages"]
        roles = tuple(message["role"] for message in messages)
        if ASSISTANT not in roles or "user" not in roles[: roles.index(ASSISTANT)]:
            raise InvalidRequest.field(instance["id"], "holds no user message with an assistant message after it")
        frame = self.frame(roles)
        last_user = len(roles) - 1 - roles[::-1].index("user")
        ids: list[int] = []
        targets = []
        pictures: list[Placed] = []
        task = 0
        for index, message in enumerate(messages):
            ids += frame.before[index]
            start = len(ids)
            for part in message["content"]:
                if index == last_user:
                    task = len(ids)
                field = f"{instance['id']}: messages[{index}]"
                if part["type"] == "image":
                    pictures.append(self._placed(part["path"], roles[index], len(ids), field))
                ids += self._part(part, field)
            if roles[index] == ASSISTANT:
                ids += frame.after[index]
                targets.append(range(start, len(ids)))
        return Encoded(tuple(ids), tuple(targets), task, tuple(pictures))

    def _placed(self, path: str, role: str, start: int, field: str) -> Placed:
        if role != "user":
            raise InvalidRequest.field(field, f"holds a picture and is of {role}; only a user's messages may")
        return Placed(str(self._folder / path), start)

    def _file(self, path: str, field: str) -> str:
        try:
            picture_below(self._folder)(path)
        except ValueError as error:
            raise InvalidRequest.field(field, str(error)) from error
        return str(self._folder / path)

    def _part(self, part: Mapping[str, Any], field: str) -> Sequence[int]:
        if part["type"] == "image":
            if self._pictures is None:
                raise InvalidRequest.field(
                    field, f"holds a picture, and {self._model} reads none; take a base that does"
                )
            return self._pictures.ids(self._file(part["path"], field))
        try:
            return self.ids(part["text"])
        except InvalidRequest as error:
            raise InvalidRequest.field(field, error.violations[0].description) from error

    def frame(self, roles: tuple[str, ...]) -> Frame:
        """What stands around messages of these roles, rendered once for each sequence of them.

        Raises:
            ModelRefused: the model's chat template cannot be cut at the messages.
        """
        if roles not in self._frames:
            self._frames[roles] = self._rendered(roles)
        return self._frames[roles]

    def _rendered(self, roles: tuple[str, ...]) -> Frame:
        """A conversation in the template, cut at its messages.

        Before a reply stands what the template asks for one with, which is what is served; some templates write the
        replies of the past otherwise.
        """
        pieces = self._pieces(roles, asks=False)
        before, after, rest = [], [], pieces[0]
        for index, role in enumerate(roles):
            # Nothing asks for a reply that comes first.
            opening = self._pieces(roles[:index], asks=True)[-1] if index and role == ASSISTANT else rest
            before.append(opening)
            following = pieces[index + 1]
            end = self._end(following) if role == ASSISTANT else 0
            after.append(following[:end])
            rest = following[end:]
        return Frame(tuple(before), tuple(after))

    def _end(self, ids: Sequence[int]) -> int:
        """How many of the ids after a reply belong to it."""
        for index, token in enumerate(ids):
            if token in self._end_ids:
                return index + 1
        raise ModelRefused(self._model, ["its chat template ends a reply with no token that ends an answer"])

    def _pieces(self, roles: Sequence[str], *, asks: bool) -> list[tuple[int, ...]]:
        """Token ids before, between and after messages of these roles, one more than there are messages."""
        if not (self._template or getattr(self._tokenizer, "chat_template", None)):
            return self._without_template(roles)
        mark = f"xmguard{secrets.token_hex(8)}marker"
        markers = [f"{mark}{index}x" for index in range(len(roles))]
        marked = re.compile(rf"{mark}\d+x")
        reasons = []
        # Templates of models that read pictures may take messages in parts only. One that prints the parts as they are
        # repeats a marker.
        for contents in (markers, [[{"type": "text", "text": marker, marker: ""}] for marker in markers]):
            said = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
            try:
                text: str = self._tokenizer.apply_chat_template(
                    said, chat_template=self._template, tokenize=False, add_generation_prompt=asks
                )
            except Exception as error:  # a template is a program and fails in its own way
                why = " ".join(str(error).split())[:200]
                reasons.append(f"its chat template takes no conversation of {', '.join(roles)}: {why}")
                continue
            if marked.findall(text) == markers:
                return [
                    tuple(self._tokenizer(one, add_special_tokens=False)["input_ids"]) for one in marked.split(text)
                ]
            reasons.append(f"its chat template does not repeat {', '.join(roles)} once and in order")
        raise ModelRefused(self._model, reasons[:1])

    def _without_template(self, roles: Sequence[str]) -> list[tuple[int, ...]]:
        """The same for a model without a chat template, which is served with a line feed before the reply."""
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        feed = tuple(self.ids("\n"))
        between = [(end, *feed) if role == ASSISTANT else feed for role in roles]
        return [() if start is None else (start,), *between]
