"""CMQA by models behind an endpoint, against a real HTTP server that describes, draws, refuses and babbles."""

import json
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from io import BytesIO

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.integration.writing import Writing
from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.generated import pairs
from xmguard_research.benchmarks.generated.album import Album
from xmguard_research.benchmarks.generated.command_cmqa import cmqa, size_of

pytest.importorskip("openai", reason="the openai client of the extra research is not installed")

PROMPTS = """
description = "DESCRIPTION|{question}|{answer}"
contradiction = "CONTRADICTION|{question}|{answer}|{description}"
wording = "WORDING|{question}|{quote}|{description}"
picture = "PICTURE|{question}|{answer}|{description}"
"""
REST = "Nothing else in this yard moves, and the light of the morning lies on the wall. " * 5


def picture(seed, size=(64, 64), kind="PNG"):
    """Bytes of a picture of two colours; another seed, another picture."""
    image = Image.new("RGB", size, sha256(seed.encode()).digest()[0])
    image.putpixel((1, 1), tuple(sha256(seed.encode()).digest()[:3]))
    image.putpixel((2, 2), (255, 255, 255))
    stream = BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def reply(prompt):
    """What good models say and draw; the question is in every prompt, so that faults can be aimed at a triple."""
    step, _, answer, *_ = prompt.split("|")
    if step == "DESCRIPTION":
        return {"description": f"It is {answer}, as can be seen. {REST}", "quote": f"It is {answer}"}
    if step == "CONTRADICTION":
        return {"description": f"It is purple, as can be seen. {REST}", "quote": "It is purple", "answer": "purple"}
    if step == "WORDING":
        return {"description": f"{REST}{answer} again.", "quote": answer}
    return picture(prompt)


@pytest.fixture
def vqa(tmp_path):
    """Three questions that people agree on, and one yes-no question on which one of ten does not."""
    (tmp_path / "images").mkdir()
    questions, annotations = [], []
    for number, said in enumerate([["red"] * 10, ["blue"] * 9 + ["navy"], ["green"] * 10, ["yes"] * 9 + ["no"]]):
        one = {"question_id": number, "image_id": number}
        questions.append(one | {"question": f"What colour is door {number}?"})
        answers = [{"answer": answer} for answer in said]
        kind = {"question_type": "what color is", "answer_type": "other"}
        annotations.append(one | kind | {"multiple_choice_answer": said[0], "answers": answers})
        (tmp_path / "images" / f"COCO_val2014_{number:012}.jpg").write_bytes(picture(f"photo {number}", kind="JPEG"))
    (tmp_path / "q.json").write_text(json.dumps({"questions": questions}), encoding="utf-8")
    told = {"data_subtype": "val2014", "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(told), encoding="utf-8")
    (tmp_path / "prompts.toml").write_text(PROMPTS, encoding="utf-8")
    return tmp_path


def run(server, vqa, *more, out="out", triples=3):
    told = {"--questions": "q.json", "--annotations": "a.json", "--images": "images", "--prompts": "prompts.toml"}
    told = {name: vqa / path for name, path in (told | {"--out": out}).items()}
    told |= {"--model": "m", "--picture-model": "d", "--base-url": server.url, "--triples": triples}
    told |= {"--picture-size": "64x64", "--timeout": "0.5", "--parallel": "2"}
    app = typer.Typer()
    app.command()(cmqa)
    arguments = [*(str(part) for pair in told.items() for part in pair), *more]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def failed(vqa):
    return [json.loads(line) for line in (vqa / "out/failed.jsonl").read_text().splitlines()]


def test_a_photograph_becomes_the_papers_pairs_their_controls_and_both_orders(vqa):
    with Writing(reply) as server:
        said = run(server, vqa, "--price-in", "2", "--price-out", "10", "--price-picture", "0.04")
    items = list(pairs.read(vqa / "out"))
    assert len(items) == len({item.id for item in items}) == 3 * 16
    assert {item.triple for item in items} == {"0", "1", "2"}
    for conflict in (True, False):
        counts = Counter(item.variant for item in items if item.conflict is conflict)
        assert counts == {"text-image": 6, "image-text": 6, "text-text": 6, "image-image": 6}
    made = {item.id.removeprefix("0/"): item for item in items if item.triple == "0"}
    photograph = picture("photo 0", kind="JPEG")
    folder = vqa / "out/pictures"
    # the paper's Text-Image: the photograph, and a description that contradicts it
    text, shown = made["text-image/ba"].sources
    assert (text.answer, shown.answer) == ("purple", "red")
    assert "purple" in text.told.sentence
    assert not shown.is_drawn
    assert (folder / shown.picture).read_bytes() == photograph
    assert made["image-text/ab"].sources == (shown, text)
    one, two = made["text-text/aa"].sources
    assert one.told.text != two.told.text
    assert one.answer == two.answer == "red"
    # two pictures are a photograph and a drawn one, in controls as in conflicts
    for name, answers in {"ab": ("red", "purple"), "ba": ("purple", "red"), "aa": ("red",) * 2}.items():
        item = made[f"image-image/{name}"]
        assert item.answers == answers
        assert sorted(source.is_drawn for source in item.sources) == [False, True]
    assert made["image-image/aa-swapped"].sources == made["image-image/aa"].sources[::-1]
    assert server.asked.total() == len(server.asked) == 3 * 6
    assert "1200 tokens in, 120 out, 6 pictures, $0.24" in said.stdout
    assert "at most about 18 calls" in said.stdout
    seen = [body["messages"][0]["content"] for body in server.bodies if "messages" in body]
    shown = [content[1]["image_url"]["url"] for content in seen if isinstance(content, list)]
    assert shown.count(f"data:image/jpeg;base64,{b64encode(photograph).decode()}") == 2
    drawn = next(body for body in server.bodies if "prompt" in body)
    assert {name: drawn[name] for name in ("model", "size", "response_format")} == {
        "model": "d",
        "size": "64x64",
        "response_format": "b64_json",
    }
    assert len(list(folder.iterdir())) == 3 + 6
    for path in folder.iterdir():
        assert path.stem == sha256(path.read_bytes()).hexdigest()


def test_garbage_is_drawn_again_a_refusal_is_not_and_the_rest_goes_on(vqa):
    truncated = b64encode(picture("x")[:-30]).decode()
    faults = {
        "PICTURE|What colour is door 0?": ["limit", "!", truncated],
        "PICTURE|What colour is door 1?": ["refuse"] * 9,
        "PICTURE|What colour is door 2?|purple": ["broke"] * 9,
    }
    with Writing(reply, faults) as server:
        said = run(server, vqa, "--retries", "2", "--strict")
        assert said.exit_code == 1
        assert {item.triple for item in pairs.read(vqa / "out")} == {"0"}
        assert "2 malformed, 1 refused" in said.stdout
        assert "2 triples failed" in said.stdout
        reasons = {row["triple"]: row["reason"] for row in failed(vqa)}
        assert reasons["1"].startswith("picture: refused: BadRequestError: Error code: 400")
        assert "rejected by the safety system" in reasons["1"]
        assert reasons["2"].startswith("picture: no reply after 1 attempts: BadRequestError")
        # a picture that was refused is asked for once, and never again
        assert len(faults["PICTURE|What colour is door 1?"]) == 8
        server.faults.clear()
        before = server.asked.copy()
        run(server, vqa, "--retries", "2")
    assert {item.triple for item in pairs.read(vqa / "out")} == {"0", "2"}
    assert [row["triple"] for row in failed(vqa)] == ["1"]
    # of the failed payment: the picture that was not drawn, and the one after it
    assert {prompt.split("|")[1] for prompt in server.asked - before} == {"What colour is door 2?"}
    assert (server.asked - before).total() == 2


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        ("%%", "the picture is no base64"),
        (b"GIF89a no picture at all", "the picture cannot be decoded"),
        (picture("x")[:60], "the picture cannot be decoded"),
        (picture("x", (64, 65)), "the picture is 64 x 65 pixels, not 64 x 64"),
        (picture("x", (20, 20)), "the picture is 20 x 20 pixels, not 64 a side"),
        ({"data": [{"url": "http://localhost/a.png"}]}, "holds no b64_json but url; ask for response_format b64_json"),
        ({"data": []}, "the endpoint's answer is no picture"),
    ],
)
def test_what_is_no_picture_of_the_size_is_malformed(vqa, drawn, reason):
    fault = b64encode(drawn).decode() if isinstance(drawn, bytes) else drawn
    with Writing(reply, {"PICTURE": [fault]}) as server:
        said = run(server, vqa, "--retries", "0", triples=1)
    assert reason in said.stderr
    assert "0 items of 0 triples" in said.stdout


@pytest.mark.parametrize(
    ("step", "wrong", "reason"),
    [
        ("DESCRIPTION", {"quote": "It is pink"}, "the quote does not stand in the description"),
        ("DESCRIPTION", {"description": "It is red.", "quote": "red"}, "the description has 3 words, not 60 to 240"),
        ("CONTRADICTION", {"answer": "Navy."}, "'Navy.' is one that people gave to the photograph"),
        ("WORDING", {"description": f"It is blue, as can be seen. {REST}", "quote": "blue"}, "is the first one"),
    ],
)
def test_a_description_that_does_not_hold_together_is_malformed(vqa, step, wrong, reason):
    bad = json.dumps(reply(f"{step}|?|blue|") | wrong)
    with Writing(reply, {f"{step}|What colour is door 1?": [bad]}) as server:
        run(server, vqa, "--retries", "0")
    (row,) = failed(vqa)
    assert row["triple"] == "1"
    assert reason in row["reason"]


def test_a_resumed_run_asks_for_nothing_twice_but_a_picture_that_is_gone(vqa):
    with Writing(reply) as server:
        run(server, vqa)
        written = (vqa / "out/items.jsonl").read_bytes()
        assert server.asked.total() == 18
        run(server, vqa)
        assert server.asked.total() == 18
        (first, *_) = (source.picture for item in pairs.read(vqa / "out") for source in item.sources if source.is_drawn)
        (vqa / "out/pictures" / first).unlink()
        # what a killed run leaves: a reply half written, and a part of a picture
        replies = vqa / "out/replies.jsonl"
        replies.write_bytes(replies.read_bytes()[:-9])
        run(server, vqa)
        assert server.asked.total() == 20
    assert (vqa / "out/items.jsonl").read_bytes() == written


def test_the_estimate_counts_pictures_and_asks_nothing(vqa):
    with Writing(reply) as server:
        said = run(server, vqa, "--estimate", "--price-picture", "0.5")
        assert not server.asked
    assert "6 pictures, $3.00; 0 replies" in said.stdout


def test_an_album_gives_back_only_what_was_put_in(tmp_path):
    album = Album(tmp_path / "pictures")
    name = album.keep(picture("a"))
    assert album.keep(picture("a")) == name
    assert [path.name for path in album.folder.iterdir()] == [name]
    assert album.media(name).data == picture("a")
    (album.folder / name).write_bytes(picture("b"))
    for wrong, fault in ((name, "not what was written"), ("../x.png", "is not there"), ("x.png", "is not there")):
        with pytest.raises(ValueError, match=fault):
            album.media(wrong)
    assert album.media(album.keep(picture("a"))).data == picture("a")
    plain = BytesIO()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(plain, "PNG")
    with pytest.raises(ValueError, match="of one colour"):
        album.keep(plain.getvalue())
    with pytest.raises(ValueError, match="more than 8388608"):
        album.keep(bytes(8 * 2**20 + 1))


def test_a_size_is_two_numbers_or_auto():
    assert size_of("auto") is None
    with pytest.raises(InvalidRequest, match="picture_size: '0x4' is not as 1024x1024"):
        size_of("0x4")
