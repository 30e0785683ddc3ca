"""Remove lines that a web page puts around a text: menus, buttons, owner, sharing. Part of `clean` (§3.2).

Each is a line of its own, recognized by its words: 打印 in a sentence, and 【收藏】宜干燥 in a herb's entry, stay.
"""

from chimed.text.noise.rules import any_of, removal_rule

_MENU = any_of("上一页 下一页 查看更多问题>* 我要咨询 找医生 向医生提问 举报 取消 提交 相关推荐文章")
_NO_AUDIO = r"您的浏览器不支持\s*audio\s*元素[。.]?"
_DISCLAIMER = r"(?m)^[\s　]*温馨提示：?以上资料仅供参考[^\n]*"

# words that are buttons by themselves, and words that are where brackets hold them and nothing else is on the line
_COMMANDS = any_of(
    "加入收藏 收藏本页 打印本页 打印此页 关闭窗口 返回顶部 返回首页 返回列表 展开全文 阅读全文 查看全文 "
    "点击查看更多 查看更多"
)
_BRACKETED = any_of("收藏 打印 关闭 返回 推荐 评论 复制 纠错 我要评论 发表评论 推荐给好友 [大中小]")
_BUTTON = rf"[【\[](?:{_COMMANDS}|{_BRACKETED})[】\]]"
_LINES = (
    rf"{_COMMANDS}[>》…. 　]*",
    rf"{_BUTTON}(?:[\s　]*{_BUTTON})*",
    r"[上下]一[篇章节][：:][^\n]{0,80}",
    r"(?:责任编辑|责编|实习编辑)[：:][^，。；\n]{0,30}",
    r"版权所有[^。；\n]{0,100}|未经(?:许可|授权)[^。；\n]{0,20}不得转载[^\n]{0,20}",
    r"(?:扫一扫|扫描|长按)[^。；\n]{0,20}二维码[^。；\n]{0,30}",
    r"分享[到至][：:][^。；\n]{0,60}",
)
_MORE = r"\[(?:详细|更多|查看全文|阅读全文|查看详情)\]"
_SOONER = (
    "一[篇章节][：:]|收藏|打印|关闭|返回|推荐|评论|复制|纠错|[大中小][】\\]]|[责习]编|任编辑|版权所有|不得转载|二维码|分享[到至]"
    "|展开全文|阅读全文|查看|详细|更多"
)

BOILERPLATE = (
    removal_rule("disclaimer", _DISCLAIMER, net="spans", sooner="以上资料仅供参考", may_hold="[：:.]|不|无|非|请勿"),
    removal_rule(
        "menu",
        rf"(?m)^[\s　]*{_MENU}[\s　]*$|{_NO_AUDIO}",
        net="spans",
        sooner=f"{_MENU}|您的浏览器不支持",
        may_hold="一页|不支持|audio|>",
    ),
    removal_rule("page's own line", rf"(?m)^[\s　]*(?:{'|'.join(_LINES)})[\s　]*$|{_MORE}", net="form", sooner=_SOONER),
)
