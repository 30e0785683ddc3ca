"""What a person would see of a page, and whether it is a refusal in words (paper §3.1)."""

import re

from parsel import Selector

SHORT = 600  # letters of a page that refuses, at most; a page of a site says more

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


def visible(page: Selector) -> str:
    """What a reader would see of a page, up to twice what a refusal says."""
    return " ".join("".join(page.xpath(_VISIBLE).getall()[:400]).split())[: 2 * SHORT]


def refuses(text: str) -> bool:
    """Whether a page's visible text is a refusal: short, and in the words of one."""
    return len(text) <= SHORT and bool(_REFUSES.search(text))


def is_titled_so(page: Selector) -> bool:
    """Whether the page's own title, or the heading where its own would be, is a refusal."""
    return bool(_REFUSES.search(" ".join(page.css("title, h1").xpath("string()").getall())[:SHORT]))
