"""Items: what a source holds. Conversations in which every assistant message is to be learned.

Checks one record at a time and says where it stands. Knows no source and no recipe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Of pictures, as the server reads them, and what their files end in."""
_SHOWN = 200
"""Characters of a path that are told."""


@dataclass(frozen=True)
class Image:
    """A picture in a message; its bytes are read when they are wanted."""

    name: str
    """For errors: its path, or the column it is in."""
    read: Callable[[], bytes]
    where: str = ""
    """The place that names it, for errors."""

    def content(self) -> bytes:
        """The bytes of its file.

        Raises:
            InvalidRequest: they cannot be read.
        """
        try:
            return self.read()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error

    def seen(self) -> Seen:
        """Its bytes, decoded once to know that they are whole.

        Raises:
            InvalidRequest: they are no picture, or a damaged one.
        """
        from PIL import Image as Pictures
        from PIL import UnidentifiedImageError

        content = self.content()
        try:
            with Pictures.open(BytesIO(content), formats=list(FORMATS)) as picture:
                picture.load()
                return Seen(content, FORMATS[str(picture.format)])
        except UnidentifiedImageError as error:  # it names the buffer, which tells nobody anything
            raise self._unreadable("it is of another format, or no picture") from error
        # What PIL raises of damaged files, by format.
        except (OSError, SyntaxError, ValueError, EOFError, Pictures.DecompressionBombError) as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> InvalidRequest:
        return InvalidRequest.field(
            self.where, f"picture {self.name} cannot be read: {why}; give a PNG, JPEG or WebP file that is whole"
        )


@dataclass(frozen=True)
class Seen:
    """A picture that can be decoded."""

    content: bytes
    suffix: str
    """For its file, with the dot."""


@dataclass(frozen=True)
class Message:
    """One message. `content` holds texts, each of which is tokenised by itself, and pictures."""

    role: str
    content: tuple[str | Image, ...]


@dataclass(frozen=True)
class Item:
    """One conversation of a source."""

    id: str
    source: str
    modality: str
    messages: tuple[Message, ...]
    where: str
    """File and line, or row, for errors."""
    meta: Mapping[str, Any]
    """Whatever the source says of it."""

    @property
    def system(self) -> tuple[str | Image, ...] | None:
        """Its system message; None without one."""
        return self.messages[0].content if self.messages[0].role == SYSTEM else None

    @property
    def turns(self) -> tuple[tuple[Message, Message], ...]:
        """Pairs of what the user says and the reply."""
        said = self.messages[self.system is not None :]
        return tuple(zip(said[::2], said[1::2], strict=True))

    @property
    def pictures(self) -> tuple[Image, ...]:
        """In order."""
        return tuple(part for message in self.messages for part in message.content if isinstance(part, Image))

    def beginning_with(self, pictures: tuple[Image, ...]) -> Item:
        """The same with pictures before the first thing a user says."""
        first = self.system is not None
        asked = self.messages[first]
        begins = Message(asked.role, (*pictures, *asked.content))
        return replace(self, messages=(*self.messages[:first], begins, *self.messages[first + 1 :]))

    def line(self) -> bytes:
        """The item as JSON with its line feed, a picture as its SHA-256: what a source's hash is made of."""
        messages = [{"role": m.role, "content": [_hashed(part) for part in m.content]} for m in self.messages]
        row = {"id": self.id, "messages": messages, "meta": self.meta}
        return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode() + b"\n"


def _hashed(part: str | Image) -> Any:
    return part if isinstance(part, str) else {"sha256": hashlib.sha256(part.content()).hexdigest()}


def item(record: Any, *, source: str, modality: str, where: str, picture: Callable[[str], Image]) -> Item:
    """Check a record and make an item of it.

    Args:
        record: `{"id", "messages": [{"role", "content"}], "meta"?}`; a content is text, or a list of
            `{"type": "text", "text"}` and `{"type": "image", "path"}`.
        source: name of its source.
        modality: of its source.
        where: file and line, for errors.
        picture: the picture at a path; raises ValueError for one that may not be used.

    Raises:
        InvalidRequest: naming the place and what is wrong there.
    """
    if not isinstance(record, Mapping):
        raise _wrong(where, "is no object with id and messages")
    strange = sorted(map(str, set(record) - {"id", "messages", "meta"}))
    if strange:
        raise _wrong(
            where, f"{strange[0]!r} is no field of an item; put it into meta, or name the columns in the recipe"
        )
    name = record.get("id")
    if not isinstance(name, str) or not name:
        raise _wrong(where, "id has to be a text that is not empty")
    meta = record.get("meta", {})
    if not isinstance(meta, Mapping):
        raise _wrong(where, "meta has to be an object")
    said = record.get("messages")
    if not isinstance(said, Sequence) or isinstance(said, str) or not said:
        raise _wrong(where, "messages has to be a list that is not empty")
    messages = tuple(_message(one, f"{where}: messages[{index}]", picture) for index, one in enumerate(said))
    _check_order(messages, where)
    return Item(name, source, modality, messages, where, dict(meta))


def _check_order(messages: Sequence[Message], where: str) -> None:
    roles = [message.role for message in messages]
    turns = roles[roles[0] == SYSTEM :]
    if not turns or len(turns) % 2 or turns != [USER, ASSISTANT] * (len(turns) // 2):
        raise _wrong(where, f"messages are {', '.join(roles)}; user and assistant take turns, and assistant is last")


def _message(said: Any, where: str, picture: Callable[[str], Image]) -> Message:
    if not isinstance(said, Mapping) or set(said) != {"role", "content"}:
        raise _wrong(where, "has to be an object with role and content, and nothing else")
    role = said["role"]
    if role not in (USER, ASSISTANT, SYSTEM):
        raise _wrong(where, f"role is {role!r}; one of user, assistant, system")
    content = said["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, Sequence):
        raise _wrong(where, f"content has to be a text or a list of parts, and is {type(content).__name__}")
    read = tuple(_part(part, f"{where}.content[{index}]", picture) for index, part in enumerate(parts))
    if role != USER and any(isinstance(part, Image) for part in read):
        raise _wrong(where, f"is of {role} and holds a picture; only a user's messages may")
    if not any(isinstance(part, Image) or part.strip() for part in read):
        raise _wrong(where, "says nothing; every message needs a content")
    return Message(role, read)


def _part(part: Any, where: str, picture: Callable[[str], Image]) -> str | Image:
    said = part if isinstance(part, Mapping) else {}
    if set(said) == {"type", "text"} and said["type"] == "text" and isinstance(said["text"], str):
        return said["text"]
    if set(said) == {"type", "path"} and said["type"] == "image" and isinstance(said["path"], str):
        try:
            return replace(picture(said["path"]), where=where)
        except ValueError as error:
            raise _wrong(where, str(error)) from error
    if set(said) == {"type", "png"} and said["type"] == "image" and isinstance(said["png"], bytes):
        drawn: bytes = said["png"]
        return Image("png", lambda: drawn, where)
    raise _wrong(where, 'is neither {"type": "text", "text": ...} nor {"type": "image", "path": ...}')


def picture_below(folder: Path) -> Callable[[str], Image]:
    """Pictures by their path relative to a folder; what lies outside of it is refused, also through links."""
    root = folder.resolve()

    def picture(path: str) -> Image:
        said = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
        try:
            file = (root / path).resolve()
            is_there = file.is_file()
        except (OSError, ValueError) as error:  # of a picture that is written out where a path is meant, for example
            why = getattr(error, "strerror", None) or error
            raise ValueError(f"picture {said} is no path ({why}); give one relative to {folder}") from error
        if Path(path).is_absolute() or not file.is_relative_to(root):
            raise ValueError(f"picture {said} lies outside of {folder}; give a path inside, relative to it")
        if not is_there:
            raise ValueError(f"picture {said} is not there; it is looked for in {folder}")
        return Image(path, file.read_bytes)

    return picture


def _wrong(where: str, what: str) -> InvalidRequest:
    return InvalidRequest.field(where, what)
