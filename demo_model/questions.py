"""What a person said: the names, sums and small talk that can be found in one message.

Every pattern is linear in the text, and only the first part of a message is read: the text may be hostile.
"""

import re

READ_CHARACTERS = 2000
MAX_NAME_CHARACTERS = 40

# Signs that word processors put in place of plain ones.
_PLAIN_SIGNS = str.maketrans({"\u2019": "'", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-"})
_WORD = r"[^\W\d_][\w'-]*"
_NAME = rf"(?P<name>{_WORD}(?: {_WORD}){{0,2}})"
_SURE_INTRODUCTION = re.compile(rf"\b(?:my name is|my name's|call me) {_NAME}", re.IGNORECASE)
_LIKELY_INTRODUCTION = re.compile(rf"\b(?:[Ii] am|[Ii]'?m) {_NAME}")
# Words that follow "I am" and "call me" without being names.
_NOT_NAME = re.compile(
    r"a|an|the|not|no|so|very|back|later|tomorrow|tonight|when|if|maybe|sure|sorry|ok|okay|yes|only|still|just|and|but"
    r"|in|on|at|here|there|i|what",
    re.IGNORECASE,
)

_LEAD = r"(?:^and|\b(?:what is|what's|what are|what about|how much is|how much are|calculate|compute|work out|solve))"
_SUM_CHARACTERS = r"[-+(0-9][-+*/^()0-9. ]*"
_ASKED_SUM = re.compile(rf"{_LEAD} ({_SUM_CHARACTERS})", re.IGNORECASE)
_BARE_SUM = re.compile(rf"({_SUM_CHARACTERS})[=?!. ]*")
_HAS_OPERATION = re.compile(r"[0-9)] *(?:\*\*|[-+*/^]) *[-+(0-9]")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_TIMES_LETTER = re.compile(r"(?<=[0-9)]) ?x ?(?=[-(0-9])")
_SPELLED = (
    ("divided by", "/"),
    ("multiplied by", "*"),
    ("times", "*"),
    ("plus", "+"),
    ("minus", "-"),
)

GREETING = re.compile(r"^(?:hello|hi|hey|hiya|greetings|good (?:morning|afternoon|evening|day))\b", re.IGNORECASE)
THANKS = re.compile(r"\b(?:thanks|thank you|thx|cheers)\b", re.IGNORECASE)
FAREWELL = re.compile(r"\b(?:bye|goodbye|see you|good night)\b", re.IGNORECASE)
HOW_ARE_YOU = re.compile(r"\bhow (?:are you|do you do|is it going)\b", re.IGNORECASE)
WHO_ARE_YOU = re.compile(
    r"\b(?:who|what) are you\b|\byour name\b|\bare you (?:a |an )?(?:real|human|bot|ai)", re.IGNORECASE
)
HELP = re.compile(r"^help\b|\b(?:help me|what can (?:you|i) (?:do|ask))\b", re.IGNORECASE)
MY_NAME = re.compile(r"\bmy name\b|\bwho am i\b", re.IGNORECASE)
HOW_MANY_TURNS = re.compile(r"\bhow many (?:turns|messages|exchanges|questions|times)\b", re.IGNORECASE)
WHAT_DID_I_SAY = re.compile(
    r"\bwhat did i (?:just )?(?:say|ask|tell)\b|\bwhat was my (?:last|previous)\b", re.IGNORECASE
)


def readable(text: str) -> str:
    """The start of a message with its white space made single spaces."""
    return " ".join(text[:READ_CHARACTERS].split())


def introduced_name(text: str) -> str | None:
    """The name a person gives in this message, if any: "I am Ada", "my name is Ada", "call me Ada"."""
    text = text.translate(_PLAIN_SIGNS)
    for match in _SURE_INTRODUCTION.finditer(text):
        if name := _name(match["name"], any_case=True):
            return name
    for match in _LIKELY_INTRODUCTION.finditer(text):
        if not text.isupper() and (name := _name(match["name"], any_case=False)):
            return name
    return None


def asked_sum(text: str) -> str | None:
    """The sum asked for in this message, as digits and operators, if there is one."""
    plain = text.translate(_PLAIN_SIGNS).lower()
    for word, operator in _SPELLED:
        plain = plain.replace(word, operator)
    plain = _TIMES_LETTER.sub(" * ", _THOUSANDS.sub("", plain))
    whole = _BARE_SUM.fullmatch(plain)
    match = whole or _ASKED_SUM.search(plain)
    if match is None or not _HAS_OPERATION.search(match[1]):
        return None
    return " ".join(match[1].rstrip(" .").split())


def _name(words: str, *, any_case: bool) -> str | None:
    """The leading words that look like a name; with `any_case`, a first word in small letters counts too."""
    kept: list[str] = []
    for word in words.split(" "):
        small = word[0].islower()
        if _NOT_NAME.fullmatch(word) or (small and (kept or not any_case)):
            break
        kept.append(word.capitalize() if small else word)
    name = " ".join(kept)[:MAX_NAME_CHARACTERS].rstrip("'- ")
    return name or None
