"""Pages of www.120ask.com, made by hand."""

from datetime import date
from itertools import permutations

import pytest
from parsel import Selector

from chimed.sources.ask120 import SITE
from chimed.sources.page import Miss
from support.reading import links, read

URL = "http://www.120ask.com/question/107311263.htm"
LINE = (
    "<span>男 | 54岁</span>",
    "<span>来自江苏 南桥</span>",
    "<span>2026-09-01 15:46:49</span>",
    "<span>2人回复</span>",
)
ANSWER = (
    '<div class="b_answerli"><div class="b_answertl"><span class="b_sp1"><a>柯思齐</a> 主治医师 白榆医院</span></div>'
    '<div class="{kind} clears"><div class="b_anscontc"><div class="b_anscont_cont">{text}</div></div>'
    '<span class="b_anscont_time">2026-09-01 16:00:00</span></div></div>'
)
ADVERT = ANSWER.replace("b_answerli", "b_answerli zhenshiAD")


def page(
    answers: str, spans: tuple[str, ...] = LINE, asked: str = "刚查出糖尿病，吃药后腹泻。", title: str = "二甲双胍腹泻"
) -> str:
    return (
        f"<title>{title}_有问必答_快速问医生</title>"
        '<div class="b_route"><a>有问必答</a> &gt; <a>内科</a> &gt; <span>糖尿病</span></div>'
        f'<div class="b_askti"><h1 id="d_askH1">{title}</h1></div><div class="b_askab1">{"".join(spans)}</div>'
        '<div class="b_askcont" id="d_msCon"><p class="crazy_new"><span>健康咨询描述：</span>'
        f"{asked}</p></div>{answers}"
    )


def answer(text: str, kind: str = "b_answercont", form: str = ANSWER) -> str:
    return form.format(kind=kind, text=f'<div class="crazy_new"><p>{text}</p></div>')


def test_adopted_answer_comes_first_and_adverts_never():
    html = page(answer("加微信", form=ADVERT) + answer("多数人两周减轻。") + answer("改为餐后服用。", "b_acceptcont"))
    assert [one.answer for one in read(SITE, URL, html)] == ["改为餐后服用。", "多数人两周减轻。"]


@pytest.mark.parametrize("spans", list(permutations(LINE)))
def test_patient_line_in_any_order(spans):
    (one,) = read(SITE, URL, page(answer("餐后服用。"), spans))
    assert one.published == date(2026, 9, 1)
    words = f"{one.title}{one.question}{one.answer}"
    assert not any(secret in words for secret in ("来自", "南桥", "男", "54岁", "柯思齐", "白榆"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("BR>吃药后腹泻", "吃药后腹泻"),
        ("&amp;#8226; 吃药后腹泻", "• 吃药后腹泻"),
        ("\xa0\xa0吃药，\xa0后腹泻", "吃药，后腹泻"),
        ("二甲双胍腹泻", ""),
    ],
    ids=["stray break", "escaped twice", "hard spaces", "repeats the title"],
)
def test_question_text(asked, said):
    (one,) = read(SITE, URL, page(answer("餐后服用。"), asked=asked))
    assert one.question == "\n".join(filter(None, ["二甲双胍腹泻", said]))


def test_old_form_and_template_tail():
    old = ANSWER.format(
        kind="b_answercont", text="<p>病情分析：注意饮食。</p><p>以上是对“二甲双胍腹泻”这个问题的建议，祝您健康！</p>"
    )
    (one,) = read(SITE, URL, page(old))
    assert one.answer == "病情分析：注意饮食。"
    assert one.department == ("内科", "糖尿病")
    assert one.domain == "general"


def test_follow_ups_belong_to_no_answer():
    html = page(answer("餐后服用。").replace("</div></div>\n", "") + '<div class="b_ansaddbox"><p>追问</p></div>')
    assert [one.answer for one in read(SITE, URL, html)] == ["餐后服用。"]


def test_department_of_chinese_medicine_is_tcm():
    (one,) = read(SITE, URL, page(answer("可以。")).replace("内科", "中医科"))
    assert one.domain == "tcm"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (page(""), "no answer"),
        (page(answer("免费咨询", form=ADVERT)), "no answer"),
        (page(answer("<audio>您的浏览器不支持 audio 元素。</audio>")), "no answer"),
        ("<title>有问必答_快速问医生</title><p>首页</p>", "home page instead of the page"),
        ("<title>404</title><p>没有</p>", "no h1"),
    ],
)
def test_misses(html, reason):
    assert read(SITE, URL, html) == Miss(reason)


def test_a_list_shows_dated_questions():
    html = (
        '<ul class="clears h-ul3"><li><div class="fl h-left-p"><a class="q-quetag" href="/list/erke/all/1/">[儿科]</a>'
        '<a class="q-quename" href="//www.120ask.com/question/1073.htm?from=list">咳嗽</a></div>'
        '<div class="fr h-right-p"><span>2026-09-01</span></div></li></ul><div class="clears h-page">'
        '<span><a href="/list/erke/all/1/">1</a></span><span><a href="/list/erke/all/2/">2</a></span>'
        '<span><a href="/list/erke/all/3/">3</a></span></div>'
    )
    assert links(SITE, "https://www.120ask.com/list/erke/all/1/", html) == [
        ("detail", "https://www.120ask.com/question/1073.htm", "2026-09-01"),
        ("list", "https://www.120ask.com/list/erke/all/2/", None),
    ]


def test_twins_have_one_address():
    forms = (
        "http://www.120ask.com/question/1.htm",
        "https://120ask.com/question/1.htm?utm_source=x#a",
        URL[:0] + "https://www.120ask.com//question/1.htm",
    )
    assert {SITE.canonical(form) for form in forms} == {"https://www.120ask.com/question/1.htm"}


def test_published_without_a_date():
    assert SITE.published(Selector(text=page("", LINE[:2]))) is None


@pytest.mark.parametrize(
    "advert",
    [
        answer("加微信", form=ADVERT),
        f'<div class="zhenshiAD">{answer("加微信")}</div>',
        answer('<span class="zhenshiAD">加微信</span>'),
    ],
    ids=["the answer", "around it", "within it"],
)
def test_an_advert_wherever_it_is_marked(advert):
    html = page(advert + answer("餐后服用。"))
    assert [one.answer for one in read(SITE, URL, html)] == ["餐后服用。"]


def test_noise_within_an_answer_and_follow_ups_leave():
    inside = (
        '餐后服用。</p><p class="tousu">投诉</p><div class="b_ansaddbox"><div class="b_ansaddli">'
        '<div class="b_ansaddti">追问</div><p>还要查吗</p></div></div><p>您的浏览器不支持 audio 元素。'
    )
    (one,) = read(SITE, URL, page(answer(inside, "b_acceptcont")))
    assert (one.answer, one.adopted) == ("餐后服用。", True)


def test_labels_of_one_paragraph():
    asked = "吃药后腹泻。<br/><span>曾经的治疗情况和效果：</span>停药三天。<span>想得到怎样的帮助：</span>能换药吗"
    html = page(answer("可以。"), asked=asked).replace(
        "<span>糖尿病</span>", "<span>糖尿病</span><span>二甲双胍腹泻</span>"
    )
    (one,) = read(SITE, URL, html)
    assert one.question == "二甲双胍腹泻\n吃药后腹泻。\n停药三天。\n能换药吗"
    assert one.department == ("内科", "糖尿病")


def test_a_list_without_days():
    html = (
        '<ul class="clears h-ul3"><li><div class="fl h-left-p"><a class="q-quename" href="/question/1.htm">'
        "2019-03-05体检血压高怎么办</a></div></li></ul>"
    )
    assert links(SITE, "https://www.120ask.com/list/neike/over/9/", html) == [
        ("detail", "https://www.120ask.com/question/1.htm", None)
    ]
