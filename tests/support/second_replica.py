# ruff: noqa: E501 (its pages are as wide as a site's)
"""A second replica of the five sites, written from what is known of their pages alone, with other texts, numbers and
markup than the demo's. Every page says what it must give; all of it is invented.

`PAGES` is what a server answers (`/<host>/<path>` → status, headers, body), `TRUTH` what each detail page gives: its
records, or None for a miss. `NEVER` must be in no record: names, places, adverts, what the site slips in.
"""

from dataclasses import dataclass, field

UTF8 = {"Content-Type": "text/html; charset=utf-8"}
BARE = {"Content-Type": "text/html"}  # says no charset: the page's <meta> does, or nothing
HTTPS = ("ask.39.net", "www.120ask.com", "www.cnkang.com")

PAGES: dict[str, tuple[int, dict[str, str], str | bytes]] = {}
TRUTH: dict[str, dict[str, "list[Truth] | None"]] = {}
NEVER = (
    "欧阳", "司马", "皇甫", "佳木斯", "呼伦贝尔", "攀枝花", "张家界", "31岁", "8个月", "悬赏", "人回复", "副主任医师", "协和", "擅长",
    "热线", "特价", "加微信", "广告", "我要咨询", "举报", "查看更多", "小编推荐", "网友评论", "下一页", "温馨提示", "浏览器",
    "疾病百科", "骨痿", "别的问题", "截短", "导航", "祝您", "追问", "还要忌口吗",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """A record: `said` are the texts that its text (or question) is made of, in order; nothing else is in it."""

    title: str
    said: tuple[str, ...]
    domain: str
    answer: tuple[str, ...] = ()
    adopted: bool | None = None
    department: tuple[str, ...] = field(default=())
    published: str | None = None


def _at(source: str, address: str, html: str | bytes, truth: "list[Truth] | None", status=200, headers=UTF8) -> None:
    """A detail page at `<host>/<path>`."""
    PAGES[f"/{address}"] = (status, headers, html)
    scheme = "https" if address.startswith(HTTPS) else "http"
    TRUTH.setdefault(source, {})[f"{scheme}://{address}"] = truth


def _list(address: str, html: str | bytes, headers=UTF8) -> None:
    PAGES[f"/{address}"] = (200, headers, html)


# --- www.120ask.com ----------------------------------------------------------------------------------------------

H = "www.120ask.com"
_HEAD = "<!DOCTYPE html><html><head><meta charset=utf-8><title>{}_有问必答_快速问医生</title></head><body>"
PAGES[f"/{H}/robots.txt"] = (200, {"Content-Type": "text/plain"}, "User-agent: *\nDisallow: /user/\n")

_at("ask120", f"{H}/question/100231.htm", _HEAD.format("吃了生冷就腹泻") + """
<div class="b_route"><a href="/">有问必答</a> &gt; <a href="/list/neike/all/1/">内科</a> &gt; <a>消化内科</a> &gt;
<span>吃了生冷就腹泻</span></div>
<div class="b_askti"><h1 id="d_askH1">吃了生冷就腹泻</h1></div>
<div class="b_askab1"><span>来自呼伦贝尔</span><span>女 | 31岁</span><span>悬赏 20</span><span>2026-10-03 07:15:09</span>
<span>3人回复</span></div>
<div class="b_askcont" id="d_msCon"><p class="crazy_new"><span>健康咨询描述：</span>BR>夏天吃了西瓜和冰粥，一天水泻四次&#160;&#160;肚子咕咕叫。
</p><p class="crazy_new"><span>曾经的治疗情况和效果：</span>口服蒙脱石散&amp;#8226;没有好转。</p>
<p class="crazy_new"><span>想得到怎样的帮助：</span>要不要查大便？</p></div><div class="b_askbot_ad">热线 400</div>
<div class="b_answerli zhenshiAD"><div class="b_acceptcont clears"><div class="b_anscontc"><div class="b_anscont_cont">
<div class="crazy_new"><p>特价胶囊，加微信。</p></div></div></div></div></div>
<div class="b_answerli"><div class="b_answertop">举报</div><div class="b_answertl"><span class="b_sp1"><a>欧阳敬</a>
副主任医师 协和</span><span class="b_sp2">擅长:胃肠</span></div><div class="b_acceptcont clears"><div class="b_anscontc">
<div class="b_anscont_cont"><div class="crazy_new"><p>病情分析：<br>多半是寒湿伤脾。</p><p>指导意见：<br>先禁生冷两天，喝米汤。<br>
以上是对“吃了生冷就腹泻”这个问题的建议，希望对您有帮助，祝您健康！</p></div></div><span class="b_anscont_time">2026-10-03 08:00:00</span>
</div></div><div class="b_ansaddbox"><div class="b_ansaddli"><p class="b_ansaddti">追问：还要忌口吗</p></div></div></div>
<div class="b_answerli"><div class="b_answertl"><span class="b_sp1"><var>司马远</var>医生</span></div>
<div class="b_answercont clears"><div class="b_anscontc"><div class="b_anscont_cont"><div class="crazy_new">
<p>可以查大便常规和潜血。</p></div></div></div></div></div></body></html>""", [
    Truth("吃了生冷就腹泻", ("吃了生冷就腹泻", "夏天吃了西瓜和冰粥，一天水泻四次肚子咕咕叫。", "口服蒙脱石散•没有好转。", "要不要查大便？"), "general",
          ("多半是寒湿伤脾。", "先禁生冷两天，喝米汤。"), True, ("内科", "消化内科"), "2026-10-03"),
    Truth("吃了生冷就腹泻", ("吃了生冷就腹泻", "夏天吃了西瓜和冰粥，一天水泻四次肚子咕咕叫。", "口服蒙脱石散•没有好转。", "要不要查大便？"), "general",
          ("可以查大便常规和潜血。",), False, ("内科", "消化内科"), "2026-10-03"),
])  # fmt: skip
# the older form: paragraphs right below, a plain h1, the day first in the patient line, attributes in single quotes
_at("ask120", f"{H}/question/99000017.htm", _HEAD.format("舌苔厚白怎么调") + """
<div class='b_route clears'><a href='/'>有问必答</a><a>中医科</a></div><DIV CLASS='b_askti'><H1>舌苔厚白怎么调</H1></DIV>
<div class='b_askab1'><span>2026-10-01 23:59:59</span><span>1人回复</span><span>男 | 8个月</span><span>来自攀枝花</span></div>
<div class='b_askcont' id='d_msCon'><p class='crazy_new'>孩子舌苔厚白，口气重，大便黏。</p></div>
<div class='b_answerli clears'><div class='b_answercont clears'><div class='b_anscontc'><div class='b_anscont_cont'>
<p>脾虚食滞，可用炒麦芽煮水。</p><p>三天后看舌苔。</p><audio src=x>您的浏览器不支持 audio 元素</audio></div></div></div></div>
<div class='b_answerli'><div class='b_answercont clears'><div class='b_anscontc'><div class='b_anscont_cont'><p>
<audio src=y>您的浏览器不支持 audio 元素</audio></p></div></div></div></div>""", [
    Truth("舌苔厚白怎么调", ("舌苔厚白怎么调", "孩子舌苔厚白，口气重，大便黏。"), "tcm",
          ("脾虚食滞，可用炒麦芽煮水。", "三天后看舌苔。"), False, ("中医科",), "2026-10-01"),
])  # fmt: skip
_at("ask120", f"{H}/question/108000000.htm", _HEAD.format("没有人答") + """<div class=b_route><a>有问必答</a><a>内科</a></div>
<div class=b_askti><h1 id=d_askH1>没有人答</h1></div><div id=d_msCon class=b_askcont><p class=crazy_new>头晕两天。</p></div>
<div class="zhenshiAD b_answerli"><div class="b_answercont clears"><div class=b_anscontc><div class=b_anscont_cont>
<p>广告：特价</p></div></div></div></div>""", None)  # fmt: skip
_at("ask120", f"{H}/question/555555.htm", "<title>有问必答_快速问医生</title><div>导航</div>", None)
_at("ask120", f"{H}/question/555556.htm", "没有这个页面", None, status=404)


def _entry120(number: int, words: str) -> str:
    return (
        f'<li><div class="fl h-left-p"><a>[内科]</a><a class="q-quename" target=_blank '
        f'href="//{H}/question/{number}.htm">{words}</a></div><div class="fr"><span>2人回复</span></div></li>'
    )


def _list120(address: str, entries: list[str], others: list[str]) -> None:
    pager = "".join(f'<a href="{other}">{n + 1}</a>' for n, other in enumerate(others))
    _list(
        f"{H}{address}",
        f'<ul class="clears h-ul3">{"".join(entries)}</ul><div class="clears h-page"><span>{pager}</span></div>',
    )


_PAGER = [f"//{H}/list/neike/all/{n}/" for n in (1, 2, 3)]
_list120("/list/neike/all/1/", [_entry120(100231, "吃了生冷就腹泻"), _entry120(108000000, "没有人答")], _PAGER)
_list120("/list/neike/all/2/", [_entry120(555555, "首页"), _entry120(100231, "吃了生冷就腹泻")], _PAGER)
_list120("/list/neike/all/3/", [_entry120(555556, "没了")], _PAGER)
_list120("/list/neike/over/1/", [_entry120(100231, "吃了生冷就腹泻")], [])
_list120("/list/zhongyike/all/1/", [_entry120(99000017, "舌苔厚白怎么调")], [])
_list120("/list/zhongyike/over/1/", [_entry120(99000017, "舌苔厚白怎么调")], [])

# --- ask.39.net --------------------------------------------------------------------------------------------------

H = "ask.39.net"
_NOISE39 = '<div class="relevant_ask"><p class="txt_ms">别的问题</p><div class="sele_all"><p class="sele_txt">别的问题</p></div></div>'
_at("ask39", f"{H}/question/80012345.html", """<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<title>夜里小腿抽筋是缺钙吗_39问医生_39健康网</title></head><body><div class="cont_l"><div class="sub"><span><a>39问医生</a></span>
<span><a href="/news/47-1.html">骨科</a></span><span class="sub_here">夜里小腿抽筋是缺钙吗</span></div>
<div class="ask_hid"><h1 class="ask_tit">夜里小腿抽筋是缺钙吗</h1><p class="mation"><span>发病时间：半年</span><span>女</span>
<span>31岁</span></p><p class="txt_ms">半夜小腿抽筋，白天走路多时更明显。</p><p class="txt_bc">补充说明：半夜小腿抽筋，白天走路多时更明显。</p>
<p class="txt_label"><span style="x">标签</span><span><a>抽筋</a></span></p>
<p class="txt_nametime"><span>皇甫39281 来自张家界</span><span>2026-09-28 21:05</span></p></div>
<div class="ask_doc_box">我要咨询</div><div class="selected"><p class="sele_img">精选回答(1)</p>
<div class="sele_all marg_top"><p class="doc_p"><span class="doc_name">皇甫明</span><span class="doc_yshi">副主任医师 协和</span></p>
<p class="doc_sc">擅长：骨病</p><p class="sele_txt">不一定是缺钙，受凉和疲劳也会抽筋。<br/>睡前热敷小腿。</p><p class="doc_time">2026-09-29 07:10</p>
<div class="zwenall"><div class="doczw"><span class="zw1">追问</span><span class="zw2">还要忌口吗</span></div></div></div></div>
<div class="selected"><p class="sele_img">医生回答(2)</p><div class="sele_all"><p class="sele_txt">查一下血钙和维生素D。
举报</p><div class="baike"><p>疾病百科</p><p>骨质疏松 别名 骨痿</p></div></div><div class="box"><a>疾病百科</a></div><div class="sele_all"><p class="sele_txt">可以补充钙片，每天晒太阳半小时。 查看更多问题>></p></div></div>
<div class="selected"><p class="sele_img">网友回答(1)</p><div class="sele_all sele_net"><p class="sele_txt">我也这样，少走路就好。</p></div></div>
</div>""" + _NOISE39, [
    Truth("夜里小腿抽筋是缺钙吗", ("夜里小腿抽筋是缺钙吗", "半夜小腿抽筋，白天走路多时更明显。"), "general", answer, adopted, ("骨科",), "2026-09-28")
    for answer, adopted in (
        (("不一定是缺钙，受凉和疲劳也会抽筋。", "睡前热敷小腿。"), True), (("查一下血钙和维生素D。",), False),
        (("可以补充钙片，每天晒太阳半小时。",), False), (("我也这样，少走路就好。",), False),
    )
])  # fmt: skip
# the older form: title in a paragraph, #sub, .ask_cont, older follow-ups; no patient line
_at("ask39", f"{H}/question/_k3z9q0.html", """<div class='cont_l'><p id='sub'><span><a>39问医生</a></span><span><a>中医科</a></span>
<span class='sub_here'>针灸</span></p><p class='ask_tit'>面瘫针灸多久一个疗程</p><div class='ask_cont'>
<p class='txt_ms'>左侧面瘫五天，已经输液。</p><p class='txt_bc'>补充说明：眼睛闭不紧。</p></div>
<p class='txt_nametime'><span>2026-08-30 11:00</span><span>ask_欧阳</span></p>
<div class='selected'><p class='sele_img'>医生回答(1)</p><div class='xx sele_all'><p class='sele_txt'>一般十次为一个疗程，隔日一次。</p>
<div class='doc_zwenall'><div class='doc_zw'><span>追问：还要忌口吗</span></div></div></div></div></div>""", [
    Truth("面瘫针灸多久一个疗程", ("面瘫针灸多久一个疗程", "左侧面瘫五天，已经输液。", "眼睛闭不紧。"), "tcm",
          ("一般十次为一个疗程，隔日一次。",), True, ("中医科", "针灸"), "2026-08-30"),
])  # fmt: skip
_at(
    "ask39",
    f"{H}/question/7.html",
    "<title>39问医生_39健康网</title><div class=cont_l><ul><li>导航</li></ul></div>",
    None,
)
_at("ask39", f"{H}/question/80012346.html", """<div class=cont_l><div class=sub><span><a>骨科</a></span></div><h1>落枕三天</h1>
<p class=mation><span>发病时间：不清楚</span></p><div class=ask_hid><p class=txt_ms>落枕三天了。</p></div>
<p class=txt_nametime><span>2026-09-27 06:00</span></p></div>""" + _NOISE39, None)  # fmt: skip
_list(f"{H}/news/47-1.html", """<ul class="list_ask list_ask2"><li><span class="a_l"><p><a href="/question/80012345.html">夜里</a></p>
</span><span class="a_r">2026-09-28 21:05</span></li><li><span class="a_l"><p><a href="/question/80012346.html">落枕三天</a></p></span></li>
</ul><span class="pages"><a class="cur">1</a><a class="next" href="/news/47-2.html">下一页</a></span>""")  # fmt: skip
_list(
    f"{H}/news/47-2.html",
    '<ul class="list_ask list_ask2"><li><span class="a_l"><p><a href="/question/7.html">无</a></p></span>',
)
_list(
    f"{H}/news/3163-1.html",
    "<ul class='list_ask list_ask2'><li><p class='p1'><a href='../question/_k3z9q0.html'>面瘫</a></p></li></ul>",
)

# --- www.zhongyoo.com --------------------------------------------------------------------------------------------

H = "www.zhongyoo.com"


def _gbk(html: str) -> bytes:
    head = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=gb2312"></head><body>'
    return (head + html).encode("gb18030")


def _herb(name: str, fields: str) -> bytes:
    return _gbk(f'<div class="gaishu"><div class="title"><h1>{name}</h1></div><div class="text">{fields}</div></div>')


_at("zhongyoo", f"{H}/name/yunmucao_801.html", _herb("云木草", """<p>　　<strong>【中药名】</strong>云木草 yunmucao</p>
<p>　　<strong>【别名】</strong>山云、木云草。</p><p>　　<strong>【药用部位】</strong>唇形科植物云木草的全草，㕮咀用。</p><p>　　秋季采者佳。</p>
<p>　　<strong>【性味归经】</strong>性微寒，味苦。归肝经、<a href="/x">肾经</a>。</p><p>　　<strong>【用法用量】</strong>煎服，9～15克。</p>
<p>　　<strong>【相关推荐文章】</strong></p><p>　　小编推荐：<a>云木草的功效</a></p>"""), [
    Truth("云木草", ("中药名", "云木草yunmucao", "别名", "山云、木云草。", "药用部位", "唇形科植物云木草的全草，㕮咀用。", "秋季采者佳。", "性味归经",
                  "性微寒，味苦。归肝经、肾经。", "用法用量", "煎服，9～15克。"), "tcm")], headers=BARE)  # fmt: skip
_at("zhongyoo", f"{H}/name/shidanhua_802.html", _herb("石胆花", """<p><strong>【药名】</strong>石胆花</p><p><strong>【功效与作用】
</strong>清肝明目。属清热药下属分类的清热泻火药。</p><p><strong>【临床应用】</strong>煎汤；外用适量。</p>"""), [
    Truth("石胆花", ("药名", "石胆花", "功效与作用", "清肝明目。属清热药下属分类的清热泻火药。", "临床应用", "煎汤；外用适量。"), "tcm"),
], headers={"Content-Type": "text/html; charset=gb2312"})  # fmt: skip
_at("zhongyoo", f"{H}/name/heiteng_803.html", _herb("黑藤", "<p>【药名】黑藤</p><p>【形态】木质藤本，长5米。</p>"), [
    Truth("黑藤", ("药名", "黑藤", "形态", "木质藤本，长5米。"), "tcm")], headers=BARE)  # fmt: skip
_at("zhongyoo", f"{H}/name/kong_804.html", _herb("空", ""), None, headers=BARE)


def _formula(name: str, fields: str) -> bytes:
    return _gbk(f'<div class="art_box"><h1>{name}</h1><div id="contentText">{fields}</div></div><div>导航</div>')


_at("zhongyoo", f"{H}/fangji/901.html", _formula("四润散", """<p>　　【方剂名】四润散，出自《云门手录》卷二。</p>
<p>　　【组成】<a>麦冬</a>9克，<a>玉竹</a>6克。</p><p>　　【用法用量】水煎，日二服。</p><p>　　【功效作用】润肺止咳。</p><p>　　【主治】干咳少痰。</p>"""), [
    Truth("四润散", ("方剂名", "四润散，出自《云门手录》卷二。", "组成", "麦冬9克，玉竹6克。", "用法用量", "水煎，日二服。", "功效作用", "润肺止咳。",
                  "主治", "干咳少痰。"), "tcm")], headers=BARE)  # fmt: skip
_at("zhongyoo", f"{H}/fangji/902.html", _formula("木云丸", "<p>【方名】木云丸</p><p>【配伍组成】云木草三两。</p><p>研末，蜜丸。</p>"), [
    Truth("木云丸", ("方名", "木云丸", "配伍组成", "云木草三两。", "研末，蜜丸。"), "tcm")], headers=BARE)  # fmt: skip


def _sp(*links: tuple[str, str]) -> str:
    sp = "".join(
        f'<div class="sp"><a href="{to}"><img></a><strong><a href="{to}">{word}</a></strong></div>'
        for to, word in links
    )
    return f'<div class="r2-cons"><div class="r2-con">{sp}</div></div>'


_list(f"{H}/name/page_1.html", _gbk(_sp(("/name/yunmucao_801.html", "云木草")) + '<ul class="pagelist"><li><span class="pageinfo">共'
      '<strong>2</strong>页</span></li><li><a href="page_2.html">2</a></li></ul>'), BARE)  # fmt: skip
_list(
    f"{H}/name/page_2.html",
    _gbk(_sp(("http://www.zhongyoo.com/name/shidanhua_802.html", "石胆花"), ("kong_804.html", "空"))),
    BARE,
)
_list(
    f"{H}/gx/", _gbk('<div class="listT1Con"><ul class="ksList"><li><a href="/gx/teng/">藤类</a></li></ul></div>'), BARE
)
_list(f"{H}/gx/teng/", _gbk('<dl class="letList letList60"><dt class="letIn"><a>H</a></dt><dd><ul><li><a href="/name/heiteng_803.html">'
      "黑藤</a></li></ul></dd></dl>"), BARE)  # fmt: skip
_list(
    f"{H}/pinyin/",
    _gbk('<div class="pyBoxCon"><ul><li><a href="/name/yunmucao_801.html">云木草</a></li></ul></div>'),
    BARE,
)
_list(f"{H}/fangji/page_1.html", _gbk('<div class="listbox"><ul><li><a href="/fangji/901.html">四润散</a></li><li><a href="http://'
      'www.zhongyoo.com/fangji/902.html">木云丸</a></li></ul></div>'), BARE)  # fmt: skip

# --- www.zydcd.com -----------------------------------------------------------------------------------------------

H = "www.zydcd.com"


def _entry(title: str, h1: str, *parts: str) -> str:
    body = "".join(f"<div class='info_txt left'>{part}</div>" for part in parts)
    return f"<head><meta charset=utf-8><title>{title}_中医大辞典</title></head><div class=nav>导航</div><h1>{h1}</h1>{body}"


_at("zydcd", f"{H}/zhongyi/zy20417fk/", _entry("通泉丸_中药方:通泉丸的功效与作用", "通泉丸",
    "【处方】<a href='/zhongyi/zy1/'>白术</a>（二两）<a>茯苓</a>（一两）<br>【制法】上为末，水丸。", "【主治】小便不通。"), [
    Truth("通泉丸", ("【处方】白术（二两）茯苓（一两）", "【制法】上为末，水丸。", "【主治】小便不通。"), "tcm")])  # fmt: skip
_at("zydcd", f"{H}/zhongyi/zy20418xa/", _entry("陆云起_中医:陆云起_名医", "陆云起", "陆云起，明代医家，著《云门手录》。"), [
    Truth("陆云起", ("陆云起，明代医家，著《云门手录》。",), "tcm")])  # fmt: skip
_at("zydcd", f"{H}/zhongyi/zy20419qq/", "<title>中医大辞典</title><div>导航</div>", None)
_list(
    f"{H}/",
    "<a href='/zhongyi/zy20417fk/'>通泉丸</a><a href='zhongyi/zy20418xa/'>陆云起</a><a href=http://www.zydcd.com/zhongyi/zy20419qq/>?</a>",
)

# --- www.cnkang.com ----------------------------------------------------------------------------------------------

H = "www.cnkang.com"
PAGES[f"/{H}/robots.txt"] = (200, {"Content-Type": "text/plain"}, "User-agent: *\nAllow: /\n")
_at("cnkang", f"{H}/dise/feizhang/70001.html", """<meta charset=utf-8><title>肺胀的食养_中华康网</title><h1 class="detaila">肺胀的食养</h1>
<div class="article_intro">肺胀的人……截短</div><div class="detailc"><p>　　肺胀的人宜吃百合。</p><p>少吃油炸。</p><p>[1] [2] 下一页</p>
<p>温馨提示：以上资料仅供参考，具体情况请咨询医生。</p></div><div id="jkpl">网友评论：好</div>""", [
    Truth("肺胀的食养", ("肺胀的人宜吃百合。", "少吃油炸。"), "general")])  # fmt: skip
_at("cnkang", f"{H}/dise/feizhang/70002.html", """<title>怎样练呼吸_保健_中华康网</title><h1 id=h1title>怎样练呼吸</h1><div id="endText">
<div id="jbk10"><p>第三，坚持三个月。</p></div><div id="jbk2"><p>第二，吐气要慢。</p></div><div id="jbk0"><p>第一，鼻吸口呼。</p></div></div>""", [
    Truth("怎样练呼吸", ("第一，鼻吸口呼。", "第二，吐气要慢。", "第三，坚持三个月。"), "general")])  # fmt: skip
_OLD = '<html><head><META http-equiv=Content-Type content="text/html; charset=gb2312"><title>{}_女性_中华康网</title></head><body>'
_at("cnkang", f"{H}/nvxing/yuejing/200911/31877.html", (_OLD.format("经期怎样泡脚") + """<h1>经期怎样泡脚</h1><table><tr><td class=menu>
导航</td><td class="style3"><p>水温四十度，泡十五分钟。</p>上一页</td></tr></table>""").encode("gb18030"), [
    Truth("经期怎样泡脚", ("水温四十度，泡十五分钟。",), "general")], headers=BARE)  # fmt: skip
_at("cnkang", f"{H}/nvxing/yuejing/201003/40012.html", (_OLD.format("痛经的艾灸") + """<h1>痛经的艾灸</h1><div class="conmain">
灸关元、三阴交。<script>var a="广告"</script><br>每穴十分钟。</div>""").encode("gb18030"), [
    Truth("痛经的艾灸", ("灸关元、三阴交。", "每穴十分钟。"), "general")], headers=BARE)  # fmt: skip
_at("cnkang", f"{H}/dise/feizhang/70003.html", """<title>图解_中华康网</title><h1 class=detaila>图解</h1><div class=detailc><img src=a.jpg></div>
<div class="conmain">导航 首页 内科</div>""", None)  # fmt: skip
_at("cnkang", f"{H}/cm/zcy/jry/yunmucao.html", """<title>云木草_中药_中华康网</title><h1>云木草</h1><div class="zh05b"><p>全草入药。</p>
<p>苦，微寒。</p><p>清肝。</p><p>目赤。</p></div>""", [
    Truth("云木草", ("简介", "全草入药。", "药性", "苦，微寒。", "功效", "清肝。", "适应症", "目赤。"), "tcm")])  # fmt: skip
_list(
    f"{H}/cm/zcy/jry/",
    '<dl class="catalog04"><dt>清热药</dt><dd><a href="/cm/zcy/jry/yunmucao.html">云木草</a></dd></dl>',
)
_list(
    f"{H}/dise/keshi/list_1.html",
    '<div class="w920 right"><div><div><ul><li><a href="/dise/feizhang/">肺胀</a></li><li><a href="/dise/nizheng">逆证</a></li></ul></div></div></div>',
)
_list(f"{H}/dise/feizhang/", '<dl class="dise_menu01"><dt>病</dt><dd><p><a href="/dise/feizhang/list_1.html">食养</a></p></dd></dl>'
      '<dl class="dise_menu02"><dd><p><a href="/dise/feizhang/list_2.html">保健</a></p></dd></dl>')  # fmt: skip


def _articles(*links: str) -> str:
    return (
        '<div class="w680 left">'
        + "".join(f'<dl><dt><a href="{to}">文</a></dt><dd>截短</dd></dl>' for to in links)
        + "</div>"
    )


_list(
    f"{H}/dise/feizhang/list_1.html",
    _articles("/dise/feizhang/70001.html", "70003.html", "/nvxing/yuejing/200911/31877.html"),
)
_list(
    f"{H}/dise/feizhang/list_2.html",
    _articles("http://www.cnkang.com/dise/feizhang/70002.html", "/nvxing/yuejing/201003/40012.html"),
)
_list(f"{H}/dise/nizheng", _articles("/dise/nizheng/70009.html"))
_at("cnkang", f"{H}/dise/nizheng/70009.html", """<title>逆证的脉_中华康网</title><h1 class=detaila>逆证的脉</h1><div class=detailc>
脉沉迟者，
宜温。</div>""", [Truth("逆证的脉", ("脉沉迟者，宜温。",), "general")])  # fmt: skip
