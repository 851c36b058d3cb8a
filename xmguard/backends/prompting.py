"""Turns spans and a question into token ids, and knows where each span and character landed, because it put it there.

The chat template is rendered once around a marker and cut there, so no caller's text ever passes through it; spans and
questions are tokenised as plain text, in which a template's special tokens stay text. Nothing is searched for
afterwards.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from xmguard.backends.pictures import Picture, PictureReader
from xmguard.backends.span_parts import refuse_pictures, span_parts
from xmguard.context import ENGLISH, Characters, Context, EncodedPrompt, SpanMap, SpanTokens
from xmguard.errors import FieldViolation, InvalidRequest, ModelRefused
from xmguard.parts import IMAGE, ImagePart, Part
from xmguard.plugins import Registry
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt


class PromptEncoder:
    """Encodes contexts for one tokenizer. Stateless once built, and safe to share between threads."""

    def __init__(
        self,
        tokenizer: Any,
        registry: Registry,
        model: str,
        *,
        probe_task: str | None = None,
        template: str | None = None,
        pictures: PictureReader | None = None,
    ) -> None:
        """Encode for one model.

        Args:
            tokenizer: a fast tokenizer of transformers.
            registry: for the modalities, and to name models that read what this one does not.
            model: what to call it when it is refused.
            probe_task: asked at the pair probe's end.
            template: chat template in place of the tokenizer's own.
            pictures: of a model that reads pictures.

        Raises:
            ModelRefused: if its chat template does not repeat a user's message exactly once, unchanged, or if it is no
                fast tokenizer, which alone tells which characters a token stems from.
        """
        if not tokenizer.is_fast:
            raise ModelRefused(model, ["its tokenizer is no fast one (tokenizer.json), so tokens have no characters"])
        self._tokenizer = tokenizer
        # Its options are set in place for each text, and it fails where another thread is reading.
        self._one_at_a_time = threading.Lock()
        self._registry = registry
        self._probe_task = probe_task
        self._pictures = pictures
        self._added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        self._added_ids = frozenset(tokenizer.added_tokens_decoder)
        self._head, self._foot = self._template(model, template or getattr(tokenizer, "chat_template", None))
        # Where no control token ends a user's message, plain text does, and a span could hold the same text.
        ends_plainly = self._added_ids.isdisjoint(self._foot)
        self._end_of_message = self._decoded(self._foot, skip_special_tokens=False).strip() if ends_plainly else ""

    @property
    def reads_pictures(self) -> bool:
        """Whether the model has a place for pictures."""
        return self._pictures is not None

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """Token ids of the prompt, the position of every span, and the characters of its tokens.

        A picture takes the whole run that the model's processor makes of it: placeholders, and the tokens that begin,
        end and structure them (rows, tiles). `media` is a tuple of `Picture`, in order.

        Raises:
            InvalidRequest: naming every span whose content its modality refuses, or that would end the user's message,
                else what cannot be encoded.
            ModalityNotSupported: naming every span that holds a picture, and the model reads none; none is decoded.
            PluginError: a modality says that a part is cut from where the span's text reads differently.
        """
        self._check_readable(index for index, span in enumerate(context.spans) if span.modality == IMAGE)
        parts = span_parts(context, self._registry)
        return self.encode_parts(parts, context.question, prompt, context.asked_in)

    def encode_parts(
        self, spans: Sequence[tuple[str, Sequence[Part]]], question: str, prompt: Prompt, asked_in: str = ENGLISH
    ) -> EncodedPrompt:
        """The same for spans whose parts are known, by id, and a question in a language that has a plugin."""
        # A modality of any name may hand over pictures.
        self._check_readable(
            index for index, (_, parts) in enumerate(spans) if any(isinstance(part, ImagePart) for part in parts)
        )
        self._check_unforged(spans, question)
        said = self._registry.languages.items[asked_in].prompt_text
        ids = [*self._head, *self._plain(said.preamble, "")]
        pictures: list[Picture] = []
        ranges = []
        characters = []
        unreadable = []
        for index, (span_id, parts) in enumerate(spans):
            if index:
                ids += self._plain(said.separator, "")
            start = len(ids)
            origins: list[Characters | None] = []
            for part in parts:
                if isinstance(part, ImagePart):
                    pictures.append(self._picture(part, f"spans[{index}].media").at(len(ids)))
                    ids += pictures[-1].ids
                    origins += [None] * len(pictures[-1].ids)
                    continue
                encoded, within = self._located(part.text, f"spans[{index}]")
                if self._loses(part.text, encoded):
                    unreadable.append(f"spans[{index}]")
                ids += encoded
                origins += _moved(within, part.start)
            if len(ids) == start:
                raise InvalidRequest.field(f"spans[{index}]", "holds nothing that the model's tokenizer can encode")
            ranges.append(SpanTokens(span_id, start, len(ids)))
            characters.append(tuple(origins))
        span_map = SpanMap(tuple(ranges), len(ids))
        joint = self._plain(said.tasks[prompt].replace(QUESTION, question), "question")
        alone = self._plain(said.alone_task.replace(QUESTION, question), "question")
        if self._loses(question, joint):
            unreadable.append("question")
        return EncodedPrompt(
            tuple(ids),
            span_map,
            (*joint, *self._foot),
            (*alone, *self._foot, *self._plain(said.alone_opening, "")),
            () if self._probe_task is None else self.ids(self._probe_task.replace("{question}", question)),
            tuple(dict.fromkeys(unreadable)),
            tuple(characters),
            tuple(pictures) or None,
        )

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Ids of a text that ends the message, and of what begins the reply."""
        return (*self._plain(task, "question"), *self._foot, *self._plain(opening, ""))

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of a text as it is."""
        return tuple(self._plain(text, "question"))

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        return self._decoded(ids, skip_special_tokens=True)

    def _check_readable(self, pictures: Iterable[int]) -> None:
        """Refuse the spans at some indices, which hold pictures, unless the model reads them."""
        if self._pictures is None:
            refuse_pictures(pictures, self._registry)

    def _check_unforged(self, spans: Sequence[tuple[str, Sequence[Part]]], question: str) -> None:
        """Refuse texts that hold what ends a message, in templates that end one with ordinary text."""
        if not (end := self._end_of_message):
            return
        texts = [
            (f"spans[{index}]", "".join(part.text for part in parts if not isinstance(part, ImagePart)))
            for index, (_, parts) in enumerate(spans)
        ]
        forged = [
            FieldViolation(
                field, f"holds {end!r}, with which this model's chat template ends a message; take it out of the text"
            )
            for field, text in (*texts, ("question", question))
            if end in text
        ]
        if forged:
            raise InvalidRequest(forged)

    def _picture(self, part: ImagePart, field: str) -> Picture:
        assert self._pictures is not None  # `_check_readable` was here
        try:
            return self._pictures.read(part)
        except ValueError as error:  # what processors raise of pictures they cannot take, for instance too narrow ones
            raise InvalidRequest.field(field, f"cannot be prepared for this model: {error}") from error

    def _template(self, model: str, template: str | None) -> tuple[list[int], list[int]]:
        """Token ids before and after a user's message."""
        tokenizer = self._tokenizer
        if not template:
            start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
            return start, self._plain("\n", "")
        marker = f"xmguard{secrets.token_hex(8)}marker"
        pieces = self._rendered(template, marker).split(marker)
        if len(pieces) == 1:
            # Templates of models that read pictures may take a message in parts only. One that prints the parts as they
            # are repeats the marker.
            pieces = self._rendered(template, [{"type": "text", "text": marker, marker: ""}]).split(marker)
        if len(pieces) != 2:
            raise ModelRefused(
                model, [f"its chat template repeats a user's message {len(pieces) - 1} times, not exactly once"]
            )
        head, foot = (tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces)
        return list(head), list(foot)

    def _rendered(self, template: str, content: Any) -> str:
        """A user's message in the template; empty where the template cannot take it."""
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception:  # a template is a program and fails in its own way
            return ""
        return rendered

    def _plain(self, text: str, field: str) -> list[int]:
        """Ids of `text` with every added token (`<|im_end|>` and its like) spelled out as ordinary text."""
        return self._located(text, field)[0]

    def _located(self, text: str, field: str) -> tuple[list[int], list[Characters]]:
        """The same, and which characters of `text` each token stems from."""
        ids, characters = self._tokens(text)
        if self._added_ids.isdisjoint(ids):
            return ids, characters
        # split_special_tokens spares only tokens marked special; the others are cut inside and encoded in two.
        ids, characters = [], []
        position = 0
        for piece in self._cut(text):
            own, within = self._tokens(piece)
            ids += own
            characters += [(start + position, end + position) for start, end in within]
            position += len(piece)
        if not self._added_ids.isdisjoint(ids):
            raise InvalidRequest.field(field, "holds text that this model's tokenizer can only read as a control token")
        return ids, characters

    def _tokens(self, text: str) -> tuple[list[int], list[Characters]]:
        # verbose would warn on stderr of a text past the context, which is refused with a better message.
        with self._one_at_a_time:
            encoded = self._tokenizer(
                text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
            )
        return list(encoded["input_ids"]), list(encoded["offset_mapping"])

    def _decoded(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        with self._one_at_a_time:
            text: str = self._tokenizer.decode(
                list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
        return text

    def _loses(self, text: str, ids: list[int]) -> bool:
        """Whether characters of `text` are in none of the tokens: some vocabularies lack bytes and drop them.

        What the tokenizer writes otherwise is not lost: many make one character of a letter and its accent (NFC).
        """
        decoded = self._decoded(ids, skip_special_tokens=False)
        missing = {character for character in set(text) - set(decoded) if not character.isspace()}
        if not missing:
            return False
        written = self._normalized(text)
        return any(character in written or not self._normalized(character).strip() for character in missing)

    def _normalized(self, text: str) -> str:
        """The text as the tokenizer's own normaliser has it."""
        with self._one_at_a_time:
            normalizer = self._tokenizer.backend_tokenizer.normalizer
            written: str = text if normalizer is None else normalizer.normalize_str(text)
        return written

    def _cut(self, text: str) -> list[str]:
        """`text` in pieces, in order and without gaps, none of which holds a whole added token."""
        pieces = [text]
        for token in sorted(self._added, key=len, reverse=True):
            if len(token) < 2:
                continue
            cut = []
            for piece in pieces:
                parts = piece.split(token)
                for index, part in enumerate(parts):
                    before = token[1:] if index else ""
                    after = token[:1] if index < len(parts) - 1 else ""
                    cut.append(before + part + after)
            pieces = cut
        return [piece for piece in pieces if piece]


def _moved(within: Sequence[Characters], start: int | None) -> list[Characters | None]:
    """Characters of a part as characters of the span's text."""
    if start is None:
        return [None] * len(within)
    return [(first + start, last + start) for first, last in within]
