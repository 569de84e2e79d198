"""A case: a bad token, and how to repair an API that accepts it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from resource_server.kit.issuer import Issuer
from resource_server.kit.signing import SigningKey, parts


@dataclass(frozen=True, slots=True)
class Case:
    """One bad token.

    Attributes:
        name: unique; stays the same from version to version.
        sent: what is sent, in words.
        law: the line of the RFC that forbids to accept it.
        fix: what to do.
        make: the texts to send; each must be refused.
        keyless: whether it can be made from any good token, without the issuer's key.
    """

    name: str
    sent: str
    law: str
    fix: str
    make: "Callable[[Material], list[str]]"
    keyless: bool = False


@dataclass(slots=True)
class Material:
    """What bad tokens are made from: a good token and keys.

    Attributes:
        good: a live token.
        issuer: the throw-away issuer, or None when the good token is another's.
        steal_url: where a verifier that follows links in tokens is noticed.
    """

    good: str
    issuer: Issuer | None
    steal_url: str
    stranger: SigningKey = field(default_factory=SigningKey)

    @property
    def header(self) -> dict[str, Any]:
        """Of the good token."""
        return parts(self.good)[0]

    @property
    def claims(self) -> dict[str, Any]:
        """Of the good token."""
        return parts(self.good)[1]

    def signed(self, header: dict[str, Any] | None = None, without: tuple[str, ...] = (), **claims: Any) -> str:
        """The good token with changes, signed with the issuer's own key: only the change is wrong."""
        return self.raw({**self.header, **(header or {})}, self.changed(without, **claims))

    def issued(self, **claims: Any) -> str:
        """A token that the issuer knows, so that only the API's own check can refuse it."""
        if self.issuer is None:
            raise LookupError("this case needs the throw-away issuer")
        return self.issuer.mint(**claims)

    def each(self, name: str, values: Iterable[Any]) -> list[str]:
        """One text for each value of a claim."""
        return [self.raw(self.header, {**self.claims, name: value}) for value in values]

    def each_header(self, name: str, values: Iterable[Any]) -> list[str]:
        """One text for each value of a member of the header."""
        return [self.raw({**self.header, name: value}, self.claims) for value in values]

    def raw(self, header: object, claims: object) -> str:
        """Any header and claims, signed with the issuer's own key."""
        if self.issuer is None:
            raise LookupError("this case needs the throw-away issuer")
        return self.issuer.active.jws(header, claims)

    def changed(self, without: tuple[str, ...] = (), **claims: Any) -> dict[str, Any]:
        """The claims of the good token with changes."""
        claims_now = {**self.claims, **claims}
        return {name: value for name, value in claims_now.items() if name not in without}


def case(name: str, sent: str, law: str, fix: str, make: Callable[[Material], Any], *, keyless: bool = False) -> Case:
    """A case; ``make`` may give one text or several."""

    def texts(material: Material) -> list[str]:
        made = make(material)
        return [made] if isinstance(made, str) else list(made)

    return Case(name, sent, law, fix, texts, keyless)
