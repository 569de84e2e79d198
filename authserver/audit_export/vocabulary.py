"""The vocabulary of audit events: every name, what its target is, and what each member of its detail says.

``docs/audit-events.md`` is written from here (``make docs``), and a test compares it with the events in the code. A
name or a member is never given another meaning and never used again. Whoever adds one raises ``VERSION`` and gives it
that number as ``since``; a reader that meets a name it does not know keeps it and goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

VERSION: Final = 3

NOTICE, WARNING = "notice", "warning"


@dataclass(frozen=True, slots=True)
class EventType:
    """One name of the vocabulary; ``members`` of the detail with what they hold, beside ``peer`` and ``client``."""

    meaning: str
    target: str
    members: Mapping[str, str] = field(default_factory=dict)
    severity: str = NOTICE
    since: int = 1


EVERYWHERE: Final[Mapping[str, str]] = {
    "peer": "address that the change was asked from; absent for `flask` and for what the server does itself",
    "client": "`client_id` of the credential that asked by the management API; absent where people asked",
}
"""Members that any event may have."""

_USER, _ROLE, _CREDENTIAL = "user name", "id of the role", "`client_id`"
_SERVER = "name, client id or audience, as it was asked for"
_KEY = "`kid` of the signing key"
_WEBHOOK = "id of the webhook"
_ID_OF_USER = {"user": "id of the user"}
_VERSION = {**_ID_OF_USER, "role_version": "role version from here on"}
_ID_OF_SERVER = {"resource_server": "id of the resource server"}
_CERTIFICATE = {
    "certificate": "id of the condition",
    "name": "`x5t#S256` for one certificate, else what certificates are known by",
    "value": "its thumbprint, or the name",
}
_TRUST = {"trust": "id of the trust", "issuer": "whose tokens"}
_STREAM = "id of the stream"
_STREAM_SETTINGS = {
    "method": "`urn:ietf:rfc:8935` (push) or `urn:ietf:rfc:8936` (poll)",
    "endpoint_url": "address that events are pushed to; empty where they are polled",
    "authorized": "whether an `Authorization` header is sent along; never the header",
    "events_requested": "types of events, or null for all",
    "description": "in the receiver's words",
    "status": "`enabled`, `paused` or `disabled`",
    "reason": "of the status, in the words of who set it",
    "without": "how many users are left out",
}
_STREAM_CHANGE = {
    **_ID_OF_SERVER,
    "before": "settings that changed, as they were",
    "after": "the same as they are from here on",
}
_REASON = {"reason": "why, in the words of who did it"}
_CHANGE = {"before": "value before", "after": "value from here on"}
_NEXT_KEY = {"activated": "`kid` of the key that signs from here on", "retired": "`kid` of the key that did before"}
_REFUSED = EventType(
    "an endpoint refused a caller; the first of each kind per caller and minute only",
    "`client_id` or user, `-` where it is unknown",
    {"reason": "true cause, one of a closed set"},
    WARNING,
)
REFUSING: Final = (
    "token",
    "introspection",
    "revocation",
    "usage",
    "changes",
    "forward_auth",
    "leaks",
    "shared_signals",
    "authorization",
    "console",
)
"""The endpoints whose refusals are on record as ``ENDPOINT.refused``."""

EVENTS: Final[Mapping[str, EventType]] = {
    "user.created": EventType("a user was made", "id of the user", {"username": _USER, "roles": "names of its roles"}),
    "user.role_granted": EventType(
        "a role was assigned; every live token of the user ended",
        _USER,
        {**_VERSION, "role": "name of the role", "role_id": _ROLE},
    ),
    "user.role_revoked": EventType(
        "a role was removed; every live token of the user ended",
        _USER,
        {**_VERSION, "role": "name of the role", "role_id": _ROLE},
    ),
    "user.disabled": EventType("a user was disabled; tokens and sign-ins ended", _USER, _VERSION, WARNING),
    "user.enabled": EventType("a user was enabled again; tokens from before stay dead", _USER, _VERSION),
    "user.password_set": EventType("a password was set; console sessions ended", _USER, _ID_OF_USER),
    "user.identity_linked": EventType(
        "an identity at an OpenID provider may sign in as the user",
        _USER,
        {**_ID_OF_USER, "issuer": "of the identity", "subject": "of the identity"},
    ),
    "user.identity_unlinked": EventType(
        "it may not any more",
        _USER,
        {**_ID_OF_USER, "issuer": "of the identity", "subject": "of the identity"},
    ),
    "role.created": EventType(
        "a role was made",
        _ROLE,
        {"name": "of the role", "kind": "`operational` or `builder`", "permissions": "names"},
    ),
    "role.deleted": EventType(
        "a role was deleted and removed from all who held it; their tokens ended",
        "name of the role",
        {"role": _ROLE, "holders": "how many held it"},
        WARNING,
    ),
    "credential.created": EventType(
        "a credential was made, with a secret or with a public key",
        _CREDENTIAL,
        {
            "name": "of the credential",
            "expires_at": "instant, seconds of UTC",
            "owner": "id of the owner",
            "roles": "names of the chosen roles",
            "secret": "id of its secret; null where it has none and gets a trust, absent where it has a key",
            "key": "thumbprint of its public key (RFC 7638); absent where it has a secret",
            "alg": "what the key signs with",
        },
    ),
    "credential.edited": EventType("name or expiry was changed", _CREDENTIAL, _CHANGE),
    "credential.regenerated": EventType(
        "a new secret was made",
        _CREDENTIAL,
        {"overlap_seconds": "for how long the old one went on working", "secret": "id of the new one"},
    ),
    "credential.old_secret_moved": EventType(
        "the end of the old secret was moved",
        _CREDENTIAL,
        {
            "before": "instant, seconds of UTC",
            "after": "instant, seconds of UTC",
            "reason": "`silent` where the policy ended it; else absent",
        },
    ),
    "credential.secrets_ended": EventType("all secrets were ended; a key is left", _CREDENTIAL),
    "credential.key_added": EventType(
        "a public key was added", _CREDENTIAL, {"key": "thumbprint (RFC 7638)", "alg": "what it signs with"}
    ),
    "credential.key_removed": EventType("a public key was ended", _CREDENTIAL, {"key": "thumbprint (RFC 7638)"}),
    "credential.trust_added": EventType(
        "tokens of another issuer stand for a credential",
        _CREDENTIAL,
        {**_TRUST, "audience": "their aud", "claims": "conditions on claims"},
    ),
    "credential.trust_removed": EventType("a trust was ended; tokens ended", _CREDENTIAL, _TRUST),
    "credential.certificate_added": EventType("TLS certificates stand for a credential", _CREDENTIAL, _CERTIFICATE),
    "credential.certificate_removed": EventType(
        "a certificate, or a name of certificates, was ended; tokens ended", _CREDENTIAL, _CERTIFICATE
    ),
    "credential.keys_published": EventType(
        "a client's keys are taken from an address", _CREDENTIAL, {"jwks_uri": "where they are"}
    ),
    "credential.keys_withdrawn": EventType("a client's keys are taken from no address any more", _CREDENTIAL),
    "credential.restricted": EventType("the restrictions were replaced; tokens ended", _CREDENTIAL, _CHANGE),
    "credential.disabled": EventType(
        "a credential was disabled; tokens ended",
        _CREDENTIAL,
        {"reason": "`unused` where the policy did it", "last_used_at": "then: the last use, null for none"},
        WARNING,
    ),
    "credential.enabled": EventType("a credential was enabled again; tokens from before stay dead", _CREDENTIAL),
    "credential.deleted": EventType(
        "a credential was deleted for good", _CREDENTIAL, {"name": "of the credential", "owner": "id of the owner"}
    ),
    "credential.sessions_ended": EventType(
        "all tokens of a credential were ended",
        _CREDENTIAL,
        {"reason": "reason of the end", "recorded": "how many of them were on record"},
    ),
    "session.ended": EventType("one token was ended", "`jti`", {"reason": "reason of the end"}),
    "resource_server.created": EventType(
        "a resource server was registered",
        "id of the resource server",
        {"name": "of the resource server", "audience": "of its tokens", "token_typ": "where it is not `at+jwt`"},
    ),
    "resource_server.regenerated": EventType("its secret was replaced; the old one ended", _SERVER, _ID_OF_SERVER),
    "resource_server.edited": EventType(
        "one value was changed",
        _SERVER,
        {**_ID_OF_SERVER, **_CHANGE, "setting": "which value; absent for the algorithm of its tokens"},
    ),
    "resource_server.jwks_client_named": EventType("it was given a name to fetch keys by", _SERVER, _ID_OF_SERVER),
    "resource_server.disabled": EventType("it was disabled", _SERVER, _ID_OF_SERVER, WARNING),
    "resource_server.enabled": EventType("it was enabled again", _SERVER, _ID_OF_SERVER),
    "resource_server.key_added": EventType(
        "a public key was added",
        "name",
        {**_ID_OF_SERVER, "key": "thumbprint (RFC 7638)", "alg": "what it signs with"},
    ),
    "resource_server.key_removed": EventType(
        "a public key was ended", "name", {**_ID_OF_SERVER, "key": "thumbprint (RFC 7638)"}
    ),
    "settings.changed": EventType("a general setting was changed", "name of the setting", _CHANGE, WARNING),
    "state.applied": EventType(
        "a desired state was applied; the records behind it say what was done",
        "`state`",
        {"steps": "how many", "prune": "whether what it does not name was removed"},
    ),
    "key.generated": EventType("a signing key was made and published", _KEY, {"alg": "of the key"}),
    "key.activated": EventType(
        "a key signs from here on",
        _KEY,
        {**_REASON, "alg": "of the key", "first": "true for the first one of an algorithm", **_NEXT_KEY},
    ),
    "key.rotated": EventType("the next key signs from here on", "algorithm", {**_REASON, **_NEXT_KEY}),
    "key.retired": EventType("a key signs no more; what it signed lives on", _KEY, {**_REASON, **_NEXT_KEY}),
    "key.compromised": EventType(
        "a key was declared to be in wrong hands; every token it signed ended",
        _KEY,
        {**_REASON, **_NEXT_KEY},
        WARNING,
    ),
    "key.removed": EventType("a retired key was withdrawn from the JWKS", _KEY),
    "master_key.resealed": EventType(
        "secrets at rest were sealed under another master key", "`database`", {"resealed": "how many"}, WARNING
    ),
    "database.restored": EventType(
        "the database was restored from a backup; every token issued before ended",
        "`database`",
        {"epoch": "from here on", "found": "how the server found out; absent where somebody said so"},
        WARNING,
    ),
    "credential.leak_reported": EventType(
        "somebody found a secret of it where it should not be; the secret ended, and its tokens with it",
        _CREDENTIAL,
        {
            "secret": "id of the secret",
            "reporter": "name of who reported it",
            "url": "where it was found, as reported",
            "source": "what it was found in, as reported",
            "ended": "whether the report ended it",
        },
        WARNING,
        2,
    ),
    "credential.token_leak_reported": EventType(
        "somebody found a token of it where it should not be; the token ended",
        _CREDENTIAL,
        {
            "token": "its `jti`",
            "reporter": "name of who reported it",
            "url": "where it was found, as reported",
            "source": "what it was found in, as reported",
            "ended": "whether the report ended it",
        },
        WARNING,
        3,
    ),
    "leak_reporter.added": EventType(
        "leak reports that a key signs are believed from here on",
        "identifier of the key",
        {"name": "of the reporter"},
        since=2,
    ),
    "leak_reporter.removed": EventType("they are believed no more", "identifier of the key", since=2),
    "user.email_set": EventType(
        "the address a user is mailed at was set or removed; the address is not on record",
        _USER,
        {**_ID_OF_USER, "removed": "whether it was removed"},
        since=2,
    ),
    "webhook.created": EventType(
        "events are sent to a URL from here on",
        _WEBHOOK,
        {"url": "of the receiver", "events": "types; none: all"},
        since=2,
    ),
    "webhook.edited": EventType("a webhook was changed", _WEBHOOK, _CHANGE, since=2),
    "webhook.secret_rotated": EventType(
        "a webhook got a new secret", _WEBHOOK, {"overlap_seconds": "how long the old one signs as well"}, since=2
    ),
    "webhook.disabled": EventType(
        "a webhook was disabled",
        _WEBHOOK,
        {"reason": "where the server did it: what the receiver answered"},
        WARNING,
        2,
    ),
    "webhook.enabled": EventType("a webhook was enabled again", _WEBHOOK, since=2),
    "webhook.deleted": EventType(
        "a webhook was deleted with its deliveries", _WEBHOOK, {"url": "of the receiver"}, WARNING, 2
    ),
    "webhook.tested": EventType("a test event was asked for", _WEBHOOK, since=2),
    "webhook.replayed": EventType(
        "deliveries are made again",
        _WEBHOOK,
        {"event": "the one", "deliveries": "how many that were given up"},
        since=2,
    ),
    "console.link_made": EventType(
        "a one-time link to sign in was made", _USER, {**_ID_OF_USER, "expires_at": "instant, seconds of UTC"}
    ),
    "console.signed_in": EventType(
        "somebody signed in to the console",
        "user name; `-` where a link signed in",
        {
            **_ID_OF_USER,
            "username": "user name, where a link signed in",
            "method": "`password`, `link` or `oidc`",
            "session": "handle of the sign-in",
        },
    ),
    "console.session_ended": EventType("one sign-in was ended", _USER, {"session": "handle of the sign-in"}),
    "console.other_sessions_ended": EventType(
        "all other sign-ins of a user were ended", _USER, {**_ID_OF_USER, "ended": "how many"}
    ),
    "event_stream.created": EventType(
        "a resource server, the actor, made a stream of security events", _STREAM, {**_ID_OF_SERVER, **_STREAM_SETTINGS}
    ),
    "event_stream.edited": EventType("its delivery, types or description were set", _STREAM, _STREAM_CHANGE),
    "event_stream.enabled": EventType("it was enabled again", _STREAM, _STREAM_CHANGE),
    "event_stream.paused": EventType("it was paused; its events are held", _STREAM, _STREAM_CHANGE, WARNING),
    "event_stream.disabled": EventType("it was disabled; its events are not kept", _STREAM, _STREAM_CHANGE, WARNING),
    "event_stream.subject_added": EventType("a user's events are told again", _STREAM, _STREAM_CHANGE),
    "event_stream.subject_removed": EventType("a user's events are left out", _STREAM, _STREAM_CHANGE),
    "event_stream.deleted": EventType("it was deleted", _STREAM, _ID_OF_SERVER, WARNING),
    **{f"{endpoint}.refused": _REFUSED for endpoint in REFUSING},
}
