"""Which roles a token gets: asked ∩ chosen for the credential ∩ held by the owner now (INV-04)."""

import re
from dataclasses import dataclass

_NAME = r"[\x21\x23-\x5b\x5d-\x7e]+"
SCOPE = re.compile(f"{_NAME}(?: {_NAME})*")
"""RFC 6749 §3.3: ``scope-token *( SP scope-token )``."""


class BadScope(ValueError):
    """The scope parameter is not a list of scope tokens (RFC 6749 §3.3)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The roles granted, in the order of their names; empty when refused."""

    roles: tuple[str, ...]
    refused: tuple[str, ...] = ()


def parse_scope(scope: str) -> frozenset[str]:
    """Split a ``scope`` parameter; duplicates collapse, order does not matter, an empty one is an omitted one.

    Raises:
        BadScope: a blank too many, or a character outside RFC 6749 §3.3.
    """
    if not scope:
        return frozenset()
    if not SCOPE.fullmatch(scope):
        msg = "Send scope as role names with one space between them (RFC 6749 section 3.3), or omit it to get all."
        raise BadScope(msg)
    return frozenset(scope.split(" "))


def granted(requested: frozenset[str], chosen: frozenset[str], held: frozenset[str]) -> Grant:
    """All of ``asked`` or nothing; an empty ``asked`` means everything possible.

    A role that is asked for but not to be had refuses the whole request:
    dropping it in silence would hand out a token that fails later and elsewhere.
    """
    available = chosen & held
    refused = requested - available
    if refused:
        return Grant((), tuple(sorted(refused)))
    return Grant(tuple(sorted(requested or available)))
