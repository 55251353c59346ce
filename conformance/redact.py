"""Keep secrets out of what a report shows.

A client may print the password it was given, or a whole Authorization header
when it is told to be verbose. Cases see such output as it was; reports never
do. What a test registry calls a secret is harmless, but the same adapter may
be pointed elsewhere, and whoever reads a report should not have to wonder.
"""

import base64
import re
from collections.abc import Callable, Iterable
from typing import Final

REDACTED: Final = "[redacted]"

# A shorter word would be cut out of the middle of ordinary text.
_SHORTEST: Final = 4
_PATTERNS: Final = (
    # Authorization: Bearer xyz, in a header dump, a dict or a curl command
    re.compile(
        r"(?i)(authorization['\"]?\s*[:=,]\s*['\"]?(?:basic|bearer)\s+)[^\s'\",]+"
    ),
    re.compile(r"(?i)\b((?:basic|bearer)\s+)(?!realm\b)[\w.~+/-]{16,}=*"),
    # "token": "xyz", refresh_token=xyz; "token: invalid" is a sentence
    re.compile(
        r"(?i)(\b(?:access_|refresh_|id_)?(?:token|password)(?:['\"]\s*:\s*['\"]|=))"
        r"[^\s'\",&}]+"
    ),
    # a JSON web token, wherever it stands
    re.compile(r"()\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
    # https://user:password@host
    re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)"),
)


def redactor(secrets: Iterable[tuple[str, str]] = ()) -> Callable[[str], str]:
    """Return a function that takes secrets out of a text.

    Args:
        secrets: Pairs of user name and password; the password goes, and the
            two together as HTTP's Basic scheme writes them (RFC 7617).
    """
    words = {word for pair in secrets for word in _forms(*pair)}
    known = re.compile(
        "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        or r"(?!)"
    )

    def redact(text: str) -> str:
        text = known.sub(REDACTED, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{REDACTED}", text)
        return text

    return redact


def _forms(username: str, password: str) -> Iterable[str]:
    if len(password) >= _SHORTEST:
        yield password
    if password:
        yield base64.b64encode(f"{username}:{password}".encode()).decode()
