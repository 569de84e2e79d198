"""One document of the change feed: the ended tokens, signed by the server (typ ``changes+jwt``)."""

from dataclasses import dataclass, field
from typing import Any

from resource_server.errors import InvalidToken, Unavailable
from resource_server.settings import Settings
from resource_server.token import Token

TYP = "changes+jwt"
MAX_DOCUMENT = 16 * 1024 * 1024
_MAX_IDLE = 10 * 365 * 86400
_NEVER = 2**40


@dataclass(slots=True)
class FeedState:
    """The state of the change feed; instants are whole seconds UTC of the server's clock.

    Attributes:
        cursor: position of the next document.
        epoch: tokens of an earlier epoch are dead.
        complete: whether the document has the whole state, not only the changes.
        as_of: when the state was read.
        idle_seconds: a token unused for so long is dead.
        longest_seconds: a token issued so long ago is dead, whatever its ``exp``.
        used_since: a token whose last use is older had idled out under an earlier timeout.
        issued_since: a token issued before is dead.
        role_versions: owner -> the lowest role version that is not dead.
        ended_tokens: jti -> its ``exp``, after which it may be forgotten.
        ended_credentials: client id -> since when; tokens issued until then are dead.
        ended_secrets: secret id -> the same.
        disabled_users: owners whose tokens are all dead.
        removed_keys: ``kid`` of keys whose tokens are all dead.
    """

    cursor: str
    epoch: str
    complete: bool
    as_of: int
    idle_seconds: int
    longest_seconds: int = _NEVER
    used_since: int = 0
    issued_since: int = 0
    role_versions: dict[str, int] = field(default_factory=dict)
    ended_tokens: dict[str, int] = field(default_factory=dict)
    ended_credentials: dict[str, int] = field(default_factory=dict)
    ended_secrets: dict[str, int] = field(default_factory=dict)
    disabled_users: set[str] = field(default_factory=set)
    removed_keys: set[str] = field(default_factory=set)

    def add(self, delta: "FeedState") -> None:
        """Apply a delta; ends first, so that a concurrent reader sees too many ends rather than too few."""
        self.removed_keys |= delta.removed_keys
        enabled_again = {sub for sub in delta.role_versions if sub in self.disabled_users} - delta.disabled_users
        for sub, floor in delta.role_versions.items():
            self.role_versions[sub] = max(floor, self.role_versions.get(sub, 0))
        self.ended_tokens.update(delta.ended_tokens)
        self.ended_credentials.update(delta.ended_credentials)
        self.ended_secrets.update(delta.ended_secrets)
        # Being enabled again raises the role version, which keeps the tokens from before dead.
        self.disabled_users = (self.disabled_users - enabled_again) | delta.disabled_users
        self.longest_seconds, self.used_since = delta.longest_seconds, delta.used_since
        self.issued_since = delta.issued_since
        self.idle_seconds, self.cursor, self.as_of = delta.idle_seconds, delta.cursor, delta.as_of

    def forget(self, now: float) -> None:
        """Drop tokens that are past their ``exp``."""
        self.ended_tokens = {jti: exp for jti, exp in self.ended_tokens.items() if exp > now}

    def reason(self, token: Token, now: float) -> str:
        """Why the token is dead, or ""; the idle timeout is not checked here."""
        floor = self.role_versions.get(token.sub)
        ended = self.ended_credentials.get(token.client_id)
        secret = self.ended_secrets.get(token.secret_id)
        reasons = (
            (token.jti in self.ended_tokens, "ended"),
            (token.kid in self.removed_keys, "key_removed"),
            (token.sub in self.disabled_users, "user_disabled"),
            (floor is not None and (token.role_version is None or token.role_version < floor), "role_version"),
            (ended is not None and token.issued_at <= ended <= now, "credential_ended"),
            (secret is not None and secret <= now, "secret_ended"),
            (token.issued_at + self.longest_seconds <= now, "lifetime"),
            (token.issued_at < self.issued_since, "lifetime"),
            (token.epoch != self.epoch and not newer(token.epoch, self.epoch), "epoch"),
        )
        return next((why for dead, why in reasons if dead), "")


def newer(epoch: str, than: str) -> bool:
    """Whether an epoch is later than another; both are numbers, as text."""
    return epoch.isascii() and epoch.isdigit() and than.isascii() and than.isdigit() and int(epoch) > int(than)


def read_changes(claims: dict[str, Any], settings: Settings) -> FeedState:
    """Read the verified claims of a document.

    Raises:
        Unavailable: it is meant for somebody else or not what a feed says.
    """
    if claims.get("iss") != settings.issuer:
        raise _bad("it is from another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if settings.audience not in audiences and settings.credentials[0] not in audiences:
        raise _bad("it is for another resource server")
    try:
        return FeedState(
            cursor=_text(claims["cursor"]),
            epoch=_text(claims["epoch"]),
            complete=_flag(claims["complete"]),
            as_of=_number(claims["as_of"]),
            idle_seconds=_positive(claims["idle_seconds"]),
            # Servers of before these claims do not know them.
            longest_seconds=_positive(claims.get("longest_seconds", _NEVER), _NEVER),
            used_since=_number(claims.get("used_since", 0)),
            issued_since=_number(claims.get("issued_since", 0)),
            role_versions=_numbers(claims["role_versions"]),
            ended_tokens=_numbers(claims["ended_tokens"]),
            ended_credentials=_numbers(claims["ended_credentials"]),
            ended_secrets=_numbers(claims["ended_secrets"]),
            disabled_users=_texts(claims["disabled_users"]),
            removed_keys=_texts(claims["removed_keys"]),
        )
    except KeyError as error:
        raise _bad(f"the claim {error} is missing") from None
    except InvalidToken as error:
        raise _bad(f"a claim is of the wrong kind: {error}") from None


def _bad(why: str) -> Unavailable:
    return Unavailable("bad_feed", f"The change feed is refused: {why}.")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidToken("text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidToken("true or false")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidToken("whole number")
    return value


def _positive(value: object, maximum: int = _MAX_IDLE) -> int:
    number = _number(value)
    if not 0 < number <= maximum:
        raise InvalidToken("seconds")
    return number


def _numbers(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise InvalidToken("object")
    return {name: _number(each) for name, each in value.items()}


def _texts(value: object) -> set[str]:
    if not isinstance(value, list):
        raise InvalidToken("array")
    return {_text(each) for each in value}
