"""Recognize pages that ask for a human: a captcha, a login or a browser check.

The crawler never tries to pass one (paper §3.1).
"""

import re
from urllib.parse import urlsplit

from chimed.sources.page import Site

_TITLE = re.compile(r"<title\b[^>]*>([^<]*)", re.I)
_TITLES = ("安全验证", "访问验证", "人机验证", "请输入验证码", "Just a moment", "Attention Required")
_LOGIN_TITLE = re.compile(r"^\s*(?:请|用户|会员|账号|帐号)*先?登[录陆](?:页面?)?\s*(?:[-_|–—].*)?$")
_LOGIN_PLACE = re.compile(r"^(?:passport|login|verify|captcha)\.|/(?:login|signin|passport|captcha|verify)\b", re.I)


def needs_human(site: Site, target: str, text: str) -> bool:
    """Return whether an address or a page asks for a human."""
    parts = urlsplit(target)
    if any(mark in target for mark in site.challenge) or _LOGIN_PLACE.search(f"{parts.netloc}{parts.path}"):
        return True
    title = _TITLE.search(text, 0, 4096)
    if title and (any(mark in title[1] for mark in _TITLES) or _LOGIN_TITLE.match(title[1])):
        return True
    return any(mark in text for mark in site.challenge)
