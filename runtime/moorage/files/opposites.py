"""Whether two keys say the opposite of each other: such a key is never what was meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches

WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
"""A word of a key in camel case, or with dashes or underscores."""

# fmt: off
_NEGATIONS = frozenset((
    "anti", "deactivate", "deactivated", "denied", "deny", "disable", "disabled", "disallow", "disallowed", "dont",
    "exclude", "excluded", "forbid", "forbidden", "ignore", "ignored", "never", "no", "non", "not", "off", "prevent",
    "prevented", "skip", "skipped", "without",
))
_AFFIRMATIONS = frozenset((
    "activate", "activated", "allow", "allowed", "enable", "enabled", "include", "included", "on", "permit",
    "permitted", "with",
))
# fmt: on
_PREFIX = re.compile(r"(?:un|non|in|im|dis|mis)(?=.{5})")
_PAIRS = (
    ({"min", "minimum", "least", "lower"}, {"max", "maximum", "most", "upper"}),
    ({"required"}, {"preferred"}),
    ({"add"}, {"drop", "remove"}),
    ({"ingress"}, {"egress"}),
    ({"before"}, {"after"}),
    ({"up"}, {"down"}),
    ({"start"}, {"stop"}),
)
_SIDES = {word: (pair, side) for pair, sides in enumerate(_PAIRS) for side, words in enumerate(sides) for word in words}
"""Words that come in pairs: which pair, and which side of it."""
_FUZZY = 0.85
_SHORTEST_FUZZY = 5
_ABOUT = 0.05
"""So much less alike two keys may be without what negates them, and still be about the same thing."""


def are_opposite(one: str, other: str) -> bool:
    """Whether two keys are about the same thing, and one of them negates it or takes the other side of a pair.

    Args:
        one: a key.
        other: a key that it is like.
    """
    words, others = _words(one), _words(other)
    negated, rest = _without_negations(words, others)
    also_negated, other_rest = _without_negations(others, words)
    if negated == also_negated:
        sides, rest = _without_sides(rest)
        other_sides, other_rest = _without_sides(other_rest)
        if all(other_sides.get(pair, side) == side for pair, side in sides.items()):
            return False
    return alike("".join(rest), "".join(other_rest)) > alike(one, other) - _ABOUT


def alike(one: str, other: str) -> float:
    """How much two texts have in common, of 1."""
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _words(key: str) -> list[str]:
    return [word.lower() for word in WORD.findall(key)]


def _without_negations(words: Sequence[str], others: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the words negate something, and what: a prefix counts where the other key has the word without it."""
    negated, rest = False, []
    for word in words:
        known = _known(word)
        bare = _PREFIX.sub("", word, count=1)
        if known in _NEGATIONS:
            negated = not negated
        elif bare != word and bare in others:
            negated = not negated
            rest += [bare] if bare not in _AFFIRMATIONS else []
        elif known not in _AFFIRMATIONS:
            rest.append(word)
    return negated, rest


def _without_sides(words: Sequence[str]) -> tuple[dict[int, int], list[str]]:
    sides = dict(_SIDES[word] for word in words if word in _SIDES)
    return sides, [word for word in words if word not in _SIDES]


def _known(word: str) -> str:
    """A word that negates or affirms, also where a letter of it is wrong."""
    if len(word) < _SHORTEST_FUZZY:
        return word
    return next(iter(get_close_matches(word, sorted(_NEGATIONS | _AFFIRMATIONS), 1, _FUZZY)), word)
