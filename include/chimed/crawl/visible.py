"""Extract what a person would see on a page, and recognize a refusal in words (paper §3.1)."""

import re

from parsel import Selector

MAX_REFUSAL_LENGTH = 600  # letters of a page that refuses, at most; a page of a site says more

_REFUSES = re.compile(
    r"(?:访问|请求|操作|查询|点击|刷新)(?:次数)?(?:太|过于?|过度|较)?(?:频繁|过快|太快|过多)"
    r"|(?:禁止|拒绝|限制|阻止|拦截)(?:了)?(?:您|你)?的?(?:访问|请求)|(?:访问|请求|IP|地址)(?:已|被|受|已被|受到)?"
    r"(?:拒绝|禁止|限制|拦截|阻断|封禁|屏蔽)"
    r"|(?:异常|可疑|恶意)(?:的)?(?:流量|访问|请求|行为|操作)|(?:稍后|稍候|稍等).{0,6}(?:再试|重试|访问|刷新)"
    r"|(?:网站|云|web)?防火墙|安全狗|云锁|创宇盾|加速乐|网站卫士|云加速|安全防护"
    r"|too many requests|access (?:is |has been )?(?:denied|blocked)|requests? (?:was |were |has been )?"
    r"(?:blocked|denied|rejected)"
    r"|unusual traffic|rate limit|not acceptable|web application firewall|checking your browser"
    r"|(?:enable|turn on) (?:javascript|cookies)|(?:开启|启用|打开)(?:浏览器)?(?:的)?(?:JavaScript|Cookie)",
    re.I,
)
_VISIBLE = "//title/text() | //body//text()[not(ancestor::script or ancestor::style or ancestor::noscript)]"


def visible_text(page: Selector) -> str:
    """Return the visible text of a page, up to twice the length of a refusal."""
    return " ".join("".join(page.xpath(_VISIBLE).getall()[:400]).split())[: 2 * MAX_REFUSAL_LENGTH]


def is_refusal(text: str) -> bool:
    """Return whether a page's visible text is a refusal: short, and with the words of one."""
    return len(text) <= MAX_REFUSAL_LENGTH and bool(_REFUSES.search(text))


def has_refusal_title(page: Selector) -> bool:
    """Return whether the page's title or first-level heading is a refusal."""
    return bool(_REFUSES.search(" ".join(page.css("title, h1").xpath("string()").getall())[:MAX_REFUSAL_LENGTH]))
