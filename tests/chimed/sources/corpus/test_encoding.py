"""Encodings by evidence: Chinese texts of all kinds in every encoding, from a few characters on. All texts made up."""

import io

import pytest

from chimed.errors import UserError
from chimed.extraction.corpus_files import by_line, encoding
from chimed.extraction.corpus_files.encoding import SAMPLE_BYTES, detect_encoding

SIMPLIFIED = [
    "咳嗽三天，有痰，不发热，请问吃什么药？",
    "甘草二钱，白术三钱，水煎服。",
    "夫脉者，血之府也，长则气治。",
    "血压160/95mmHg，心率88次/分",
    "患者女，45岁，反复上腹痛两年。",
    "联通",  # as GBK its bytes are UTF-8 too
]
TRADITIONAL = [
    "咳嗽三天，有痰，不發熱，請問吃什麼藥？",
    "甘草二錢，白朮三錢，水煎服。",
    "夫脈者，血之府也，長則氣治。",
    "血壓160/95mmHg，心率88次/分鐘",
    "患者女，45歲，反覆上腹痛兩年。",
]


def found(body: bytes, asked: str | None = None):
    return detect_encoding(io.BytesIO(body), asked)


@pytest.mark.parametrize("text", [*SIMPLIFIED, *TRADITIONAL])
@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
def test_a_short_text_is_known_without_a_mark(text, codec):
    if text == "联通" and codec != "gb18030":
        pytest.skip("only its GBK bytes are ambiguous")
    if text == "联通":
        text = "联通手机挂号"
    assert found(text.encode(codec)).name == codec


@pytest.mark.parametrize("text", TRADITIONAL)
def test_big5_is_told_from_gb18030(text):
    said = found(text.encode("big5"))
    assert (said.name, said.certainty > 0.99, said.broken) == ("big5hkscs", True, 0)


@pytest.mark.parametrize(("codec", "name"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16-le"), ("utf-32", "utf-32-le")])
def test_a_byte_order_mark_is_believed(codec, name):
    assert found("咳".encode(codec)) == found("咳".encode(codec), None)
    said = found("咳嗽".encode(codec))
    assert (said.name, said.said, said.certainty) == (name, "its byte order mark", 1.0)


def test_plain_ascii_is_certain():
    assert found(b"a,b\n1,2\n").name == "utf-8"
    assert found(b"").certainty == 1.0


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "big5", "utf-16-le"])
def test_chinese_that_begins_far_behind_english_is_found(codec):
    english = "nothing but plain English here. " * (SAMPLE_BYTES // 8)
    chinese = "病人發熱三天，咳嗽有痰。" * 100
    body = (english + chinese + english).encode(codec)
    said = found(body)
    assert (body.decode(said.name), said.broken) == (english + chinese + english, 0)


def test_a_large_files_broken_place_is_told():
    body = ("咳嗽三天。\n" * 200_000).encode()
    assert found(body) == found(body[:600_000] + body[600_000:])
    said = found(body[:1_500_000] + b"\xff" + body[1_500_000:])
    assert (said.name, said.broken >= 1, said.first_broken) == ("utf-8", True, 1_500_000)
    assert "no character" in str(said)
    assert found(body[:-2]).broken == 1


def test_wrong_choices_are_one_sentence():
    assert found("咳嗽".encode("gbk"), "GBK").name == "gb18030"
    assert found("咳嗽".encode("gbk"), "utf-8").broken > 0
    for wrong in ("utf-9", "base64", "rot13", "idna"):
        with pytest.raises(UserError, match="is unknown"):
            found(b"x", wrong)


@pytest.mark.parametrize("body", [b"\n", b"a", b"a,b\n1,2", "好".encode(), "咳嗽".encode("gb18030") + b"\n"])
def test_few_bytes_are_not_utf_16(body):
    assert found(body).name in ("utf-8", "gb18030")
    assert found(body).broken == 0


MIXED = "\n".join(SIMPLIFIED[:5]), "\n".join(TRADITIONAL)


@pytest.mark.parametrize("codec", ["gb18030", "big5hkscs"])
@pytest.mark.parametrize("first", ["utf-8", "other"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_mixed_encodings_are_read_line_by_line(codec, first, end):
    other, text = MIXED[codec == "big5hkscs"].replace("\n", end), "\n".join(MIXED).replace("\n", end)
    names = ["utf-8", codec] if first == "utf-8" else [codec, "utf-8"]
    parts = [(text if name == "utf-8" else other).encode(name) for name in names] * 40
    name = found(end.encode().join(parts)).name
    assert name == f"chimed_utf_8_{codec}"
    with io.TextIOWrapper(io.BytesIO(end.encode().join(parts)), name, errors="replace", newline="") as read:
        pieces = iter(lambda: read.read(100), "")
        whole = "".join(pieces)
    assert whole == end.join([text if name == "utf-8" else other for name in names] * 40)


def test_a_torn_character_makes_no_second_encoding():
    whole = "\n".join(SIMPLIFIED).encode()
    torn = whole.replace("痰".encode(), "痰".encode()[:2])
    assert (found(torn).name, found(torn).broken) == ("utf-8", 1)
    gb = MIXED[0].encode("gb18030") * 3
    assert found(gb + b"\xff\n" + gb).name == "gb18030"


def test_long_mixed_lines_are_not_held(monkeypatch):
    monkeypatch.setattr(by_line, "_LONGEST", 50)
    body = (("，".join(SIMPLIFIED[:5]) + " ") * 50).encode("gb18030") + b"\n" + "\n".join(SIMPLIFIED).encode()
    name = found(body).name
    assert io.TextIOWrapper(io.BytesIO(body), name).read() == ("，".join(SIMPLIFIED[:5]) + " ") * 50 + "\n" + "\n".join(
        SIMPLIFIED
    )


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le"])
def test_broken_bytes_are_counted_once(codec, monkeypatch):
    monkeypatch.setattr(encoding, "_CHUNK_BYTES", 101)
    text = "，".join(SIMPLIFIED[:5]) * 20
    broken = {"utf-8": b"\xff", "gb18030": b"\xff\n", "utf-16-le": b"\x00\xdc"}[codec]
    assert found(text.encode(codec) + broken + text.encode(codec), codec).broken == 1
