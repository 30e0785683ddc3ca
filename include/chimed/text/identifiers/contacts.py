"""Find accounts: e-mail, QQ, WeChat and other platforms, QR codes. Used by `identifiers`.

A platform's name is written in many ways (微信, V信, 薇❤, ＋V, 扣扣), its account in few: what follows the name must
look like an account, so 微信支付, QQ糖 and 加V字切口 are ignored. All texts are in plain form (❤ is 心).
"""

import re
from collections.abc import Iterator

from chimed.text.identifiers.numbers import Spans

_HOSTS = (
    r"(?:qq|163|126|139|189|sina|gmail|hotmail|outlook|sohu|foxmail|yeah|aliyun|live|msn|icloud|yahoo|tom|21cn|vip)"
)
_DOT = r"(?: ?[.。·] ?| ?[\[(]?(?:点|dot)[\])]? ?)"
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._-]{1,30}(?: [A-Za-z0-9._-]{1,30}){0,3} @ "  # spaced out: hxl 27 @ 163 . com
    rf"(?:[A-Za-z0-9-]{{1,63}} ?{_DOT}){{1,4}}[A-Za-z]{{2,10}}|"
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64} ?(?:@|[(\[【（<{] ?(?:at|a|艾特|@|圈a) ?[)\]】）>}]|艾特|小老鼠|"
    r"圈a|\$at\$) ?"
    rf"(?:[A-Za-z0-9-]{{1,63}}{_DOT}){{1,4}}(?:[A-Za-z]{{2,10}}|中国|公司|网络)"
    rf"|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{{2,64}} ?(?:[#*&＃]| at |[-_]at[-_]) ?{_HOSTS}{_DOT}(?:com|net|cn|org)"
    r"|[\u4e00-\u9fffA-Za-z0-9._-]{1,20}@[\u4e00-\u9fffA-Za-z0-9-]{1,20}[.。](?:中国|公司|网络|我爱你|com|cn|net)"
    r"|(?:邮箱|e-?mail)[:：是为 ]{0,4}[A-Za-z0-9._%+-]{3,64}[ #*(（]{1,2}"
    rf"{_HOSTS}{_DOT}(?:com|net|cn|org)",
    re.IGNORECASE,
)
_QQ = re.compile(
    r"(?:Q[ .·_-]?Q|扣扣|加扣|(?<![\u4e00-\u9fff])扣|(?<=[我加])扣|腾讯号|[加进][群裙]|[群裙]号|叩叩|抠抠|寇寇|"
    r"蔻蔻|球球|企?鹅|秋秋|(?<![A-Za-z酶素])Q(?=[号群:：])|(?<=[加联系的我])Q(?![A-Za-z]))"
    r" ?(?:邮箱|账号|帐号|交流|病友|讨论|咨询|好友)?(?:号|群)?(?:码|号)?"
    r"[是为:：=\s()（）【】\[\]，,→#~-]{0,4}([1-9](?:[- .·_*]{0,2}\d){4,11})(?!\d|[年月岁个次例元粒片]|[- .]?\d|mg|ml)",
    re.IGNORECASE,
)
# 微信, homophones, letters, 微❤; what may stand between it and the account
_HAN_LABEL = (
    r"(?:[微威薇葳徽徵维薇嶶危巍溦][ .·_,，/*+|-]{0,2}(?:心?信|芯|心|xin|x)|[喂唯]心?信|加(?:一?下"
    r"|[我他她你您个])?的?卫星|wei ?信|weixin|绿泡泡|绿色软件"
    r"|[加+](?:[微薇威卫徽](?=[^\u4e00-\u9fff])|徽心))"
)
_LATIN_LABEL = (
    r"(?:(?<![A-Za-z0-9])(?:[vw][ ._*-]?(?:心?信|[x心芯])|w ?x|we ?chat)|[加+十]v[x信心]?(?![A-Za-z]*字)|\+ ?wx)"
)
_NUMBERED = r"(?:[ *._-]?(?:号码?|ID|账号|帐号|账户|名|群|搜索?)(?: is)?)?"
_BETWEEN = r"[\s:：=是为叫→➡👉>()（）【】\[\]「」『』“”\"'《》<，,、；;～~。.!！^-]{0,5}"
_SHOWN = r"(?:号码?|ID|账号|帐号|账户)?\s{0,2}[:：=是为叫→➡👉>(（【\[「“\"'～~]"  # marks that only an account follows
_ACCOUNT = r"[A-Za-z](?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9])){5,19}"
_WITH_DIGIT = r"[A-Za-z](?=[A-Za-z_.-]{0,18}[0-9_])(?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9])){4,19}"
_END = r"(?![A-Za-z0-9_])"
_WECHAT = re.compile(
    rf"(?:{_HAN_LABEL}|{_LATIN_LABEL}) ?{_NUMBERED}{_BETWEEN}({_WITH_DIGIT}){_END}"
    rf"|(?:{_HAN_LABEL}|(?<![A-Za-z0-9])(?:vx|wx|v心|v信|wechat)|[加+]v)(?:{_SHOWN}{_BETWEEN}|号码?"
    rf"|ID)({_ACCOUNT}){_END}"
    rf"|{_HAN_LABEL}([a-z][a-z0-9_-]{{5,19}}){_END}"
    rf"|(?:{_HAN_LABEL}|(?<![A-Za-z0-9])(?:vx|wx|v心|v信|wechat)|[加+]v)(?:{_SHOWN}{_BETWEEN}|号码?|ID)"
    r"([1-9](?:[- .·_]?\d){5,10})(?!\d|[年月个例元次]|mg|ml)"
    rf"|(?<![A-Za-z0-9])[VW] ?[:：] ?({_WITH_DIGIT}){_END}"
    rf"|(?<![稍轻细略蔷紫采白])(?:[微薇威][^\w\s、，,。]{{1,4}}|薇 ?|个人号[:： ]?)({_WITH_DIGIT}){_END}"
    rf"|加我?(?:vx|wx|微信?+|薇信?+|v信?+)[\u4e00-\u9fff]{{1,6}}[ :：，,→➡👉>-]{{1,2}}({_WITH_DIGIT}){_END}"
    rf"|加[我]?[vw] ?[:：]?(?!\d{{1,12}} ?(?:mg|ml|g|iu|u|kg|[uμm]cg|[μu]g"
    rf"|k)(?![a-z]))(\d{{5}}[A-Za-z0-9_-]{{1,15}}){_END}",
    re.IGNORECASE,
)
_NO_ACCOUNT = re.compile(
    r"(?:windows|android|iphone|ipad|ios|apps?|online|server|mobile|pay|group|https?|official|wechat|weixin"
    r"|version|beta|login|"
    r"email|program|linux|harmony|public|service|doctor|health|hospital|official)",
    re.IGNORECASE,
)
_PLATFORMS = (
    r"(?:抖音|[斗逗豆]音|快手|小[红x某]书|红薯|微博|博客|知乎|陌陌|探探|头条|视频号|钉钉|飞书|支付宝|淘宝"
    r"|旺旺|拼多多|B站|哔哩哔哩|豆瓣|贴吧|百度|脉脉|易信|米聊|"
    r"skype|whats ?app|telegram|电报|纸飞机|facebook|脸书|instagram|twitter|推特|line|signal|kakao|"
    r"闲鱼|转转|微店|discord|bilibili|viber|"
    r"(?<![A-Za-z])(?:ins|tg|fb|ig|dy|xhs|zfb))"
)
_HAN_ACCOUNT = r"[\u4e00-\u9fffA-Za-z0-9_-]{2,16}"
_PLATFORM = re.compile(
    rf"{_PLATFORMS}"
    r" ?(?:(?:账号|帐号|用户名?|昵称|号码?|U?ID|账户|主页|搜索|搜)[\s:：=是为@()（）【】“”\"]{0,4}|[:：@]\s?@?)"
    r"([A-Za-z0-9_][A-Za-z0-9_.-]{3,29}|[1-9]\d{4,14})(?![A-Za-z0-9_])"
    # said to be somebody's own, or with a digit behind it, a name may be one of Han letters, and nothing else is needed
    rf"|(?<=我的){_PLATFORMS}(?:账号|帐号|昵称|名|号|ID)?[\s:：=是为叫]{{1,3}}(?:[A-Za-z][A-Za-z0-9_.-]{{3,29}}|"
    rf"(?<=[:：叫])[“\"]?{_HAN_ACCOUNT})(?![A-Za-z0-9_])"
    rf"|我(?:的|在)?(?:抖音|快手|小[红x某]书|微博|知乎|[bB]站|视频号)上?(?:账号|帐号|昵称|名字?"
    rf"|号)?叫[:： “\"]{{0,2}}{_HAN_ACCOUNT}"
    rf"|(?:抖音|[斗逗豆]音|快手|小[红x某]书|[bB]站|视频号|dy|xhs)[里上]?搜索?(?:一下)?(?:[:： ]?[“\"「@]"
    rf"|[:： ]){{1,2}}{_HAN_ACCOUNT}"
    rf"|(?:抖音|[斗逗豆]音|快手|小[红x某]书|[bB]站"
    rf"|视频号)[里上]?搜索?{_HAN_ACCOUNT}?(?=[，, ]?(?:[^\n。！？]{{0,6}}直播|关注我|私信我|找我|就是我))"
    rf"|(?:旺旺|淘宝|闲鱼|微店|转转)(?:店铺?|号"
    rf"|ID)?[:：] ?[\u4e00-\u9fff]{{2,12}}\d{{2,8}}(?![\u4e00-\u9fffA-Za-z0-9%.])"
    r"|(?:微博|抖音|快手|小红书|知乎|B站|头条)\s?[:：]?\s?@\s?[\u4e00-\u9fffA-Za-z0-9_-]{2,20}"
    r"|(?<![A-Za-z0-9_.@/])@(?=[A-Za-z_-]{0,20}[0-9_])[A-Za-z][A-Za-z0-9_]{4,29}(?![A-Za-z0-9_.@])",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"(?:https?://)?(?:u\.wechat\.com|weixin\.qq\.com/[rg]|wxp://|qm\.qq\.com|jq\.qq\.com|qr\.alipay\.com"
    r"|work\.weixin\.qq\.com|"
    r"t\.me|wa\.me|v\.douyin\.com|v\.kuaishou\.com|xhslink\.com|weibo\.(?:com|cn)/u?|wpa\.qq\.com"
    r"|user\.qzone\.qq\.com|weidian\.com|"
    r"line\.me/ti|lin\.ee|(?:www\.)?(?:xiaohongshu|douyin|kuaishou)\.com/(?:user|profile)|space\.bilibili\.com|"
    r"(?:www\.)?zhihu\.com/people|(?:www\.)?(?:facebook|instagram)\.com)"
    r"[/A-Za-z0-9_?=&%.-]{3,200}|(?:weixin|mqqwpa|mqqapi|alipays?)://[A-Za-z0-9_/?=&%.-]{2,200}|tel:\+?\d[\d-]{5,18}|"
    r"mailto:[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{3,100}",
    re.IGNORECASE,
)
_QR = re.compile(
    r"(?:扫一?扫|扫描?|长按|识别)[^\n，。；！？]{0,10}?(?:码|图)?[^\n。；！？]{0,6}?(?:加|添加|联系)"
    r"(?:我|本人|他|她|主任|医生|大夫|医师|教授|老师|专家|助理|[\u4e00-\u9fff]{1,3}(?:医生|主任|大夫|老师|教授))"
    r"|(?:扫一?扫|扫描?|长按|识别)(?:上|下)?(?:方|面|图)?(?:的)?(?:二维)?码[，, ]?(?:加|添加|进|入)(?:微信|"
    r"个人微信|好友|群|病友群|私人)"
    r"|(?:扫一?扫|扫描?|长按|识别)[^\n，。；！？]{0,10}码[，, ]?(?:加入?|进入?|入)[^\n。；！？，]{0,8}群"
    r"|加(?:我|微信|好友|医生|主任)[^\n。；！？]{0,4}扫(?:一扫|描)?[^\n。；！？]{0,4}码"
    r"|(?:我|本人|主任|医生|大夫|老师)的?(?:个人)?(?:微信)?二维码(?:如下|在下面|见下|在此|附上|发)"
)


def rules(text: str) -> Iterator[tuple[str, Spans]]:
    """Yield kind and spans in a text in plain form, the most specific kind first."""
    yield "contact link", [match.span() for match in _LINK.finditer(text)]
    yield "e-mail address", [match.span() for match in _EMAIL.finditer(text)]
    yield "QQ number", [match.span() for match in _QQ.finditer(text)]
    yield "WeChat id", [match.span() for match in _WECHAT.finditer(text) if _is_account(match)]
    yield "account", [match.span() for match in _PLATFORM.finditer(text) if not _is_a_value(match)]
    yield "QR code", [match.span() for match in _QR.finditer(text)]


def _is_a_value(match: re.Match[str]) -> bool:
    """Return whether something named like a platform is a measurement: TG：1.38, IG: 2738, line: 3."""
    return bool(
        re.match(
            r"(?:ins|tg|fb|ig|line|dy)\b[^A-Za-z]*$|(?:ins|tg|fb|ig|line|dy)[ :：]{1,3}[\d.]", match[0], re.IGNORECASE
        )
    )


def _is_account(match: re.Match[str]) -> bool:
    account = next(one for one in match.groups() if one)
    return not _NO_ACCOUNT.fullmatch(account)
