"""Bad tokens, second part: rightly signed, but a claim or the header says that it is not for this API, or not now."""

from functools import partial
from typing import Any

from resource_server.kit.case import Case, Material, case
from resource_server.kit.signing import dump

_REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
_AUDIENCE = (
    "Compare aud with this API's own identifier: equal, or one text of a short list of texts. Nothing else passes."
)
_TIME = "Require exp and iat as whole numbers of seconds; refuse from exp on; bound exp - iat."
_TYPE = (
    "Require typ at+jwt, so that ID tokens, logout tokens and other JWTs of the issuer are not taken for access tokens."
)
_JSON = "Parse strictly: UTF-8, each name once, numbers that exist; refuse what is not one JSON object."


def _json(material: Material, change: Any) -> str:
    return material.raw(material.header, change(dump(material.claims)))


def _header_json(material: Material, change: Any) -> str:
    return material.raw(change(dump(material.header)), material.claims)


def _repeated(data: bytes) -> bytes:
    return data[:-1] + b',"aud":"https://other.example.com"}'


CLAIMS: list[Case] = [
    *(
        case(
            f"missing-{name}",
            f"no {name}",
            "RFC 9068 §2.2, §4",
            f"Require {name}; a library that checks a claim only when it is there lets this through.",
            partial(Material.signed, without=(name,)),
        )
        for name in _REQUIRED
    ),
    case("iss-other", "another issuer, also with a slash, in capitals, as a list", "RFC 9068 §4; RFC 8725 §3.8",
         "Compare iss with the configured issuer, character by character.",
         lambda m: m.each("iss", ("https://other.example.com", m.claims["iss"] + "/", m.claims["iss"].upper(),
                                  [m.claims["iss"]], None))),
    case("aud-other", "for another API", "RFC 9068 §4; RFC 8725 §3.9", _AUDIENCE,
         lambda m: m.signed(aud="https://other.example.com")),
    case("aud-prefix", "an audience that begins or ends like this API's", "RFC 7519 §4.1.3", _AUDIENCE,
         lambda m: m.each("aud", (m.claims["aud"] + ".evil.example", m.claims["aud"][:-1],
                                                    m.claims["aud"] + "/", m.claims["aud"].upper(),
                                                    "x" + m.claims["aud"]))),
    case("aud-types", "an audience of every other JSON type", "RFC 7519 §4.1.3", _AUDIENCE,
         lambda m: m.each("aud", ("", None, [], {}, 5, True, [[m.claims["aud"]]], {m.claims["aud"]: True}, [None],
                                  ["*"]))),
    case("typ-jwt", "typ JWT instead of at+jwt", "RFC 9068 §2.1, §4; RFC 8725 §3.11", _TYPE,
         lambda m: m.signed({"typ": "JWT"})),
    case("typ-missing", "no typ", "RFC 9068 §4; RFC 8725 §3.11", _TYPE,
         lambda m: m.raw({k: v for k, v in m.header.items() if k != "typ"}, m.claims)),
    case("typ-other", "the types of other JWTs of an issuer", "RFC 8725 §3.11, §3.12", _TYPE,
         lambda m: m.each_header("typ", ("token-introspection+jwt", "logout+jwt", "secevent+jwt", "changes+jwt",
                                         "dpop+jwt", "", None, 5, ["at+jwt"]))),
    case("id-token", "an ID token of the same issuer, for this API as the client", "RFC 8725 §3.11, §3.12", _TYPE,
         lambda m: m.raw({**m.header, "typ": "JWT"},
                         {name: m.claims[name] for name in ("iss", "aud", "sub", "iat", "exp")} | {"nonce": "x"})),
    case("expired", "expired a second, an hour and years ago", "RFC 7519 §4.1.4; RFC 9068 §4",
         _TIME + " A leeway lengthens the life of every token.",
         lambda m: [m.signed(iat=m.claims["iat"] - back - 60, exp=m.claims["iat"] - back)
                    for back in (1, 61, 3600, 10**8)]),
    case("exp-types", "an exp that is no whole number", "RFC 7519 §2 (NumericDate), §4.1.4", _TIME,
         lambda m: m.each("exp", (str(m.claims["exp"]), None, True, [m.claims["exp"]], {}, "never"))),
    case("exp-far", "an exp beyond any lifetime of this issuer", "RFC 7519 §4.1.4; RFC 9068 §2.2",
         _TIME, lambda m: m.each("exp", (m.claims["iat"] + 10**10, 10**40, 1e308))),
    case("exp-before-iat", "an exp before iat, and a negative one", "RFC 7519 §4.1.4, §4.1.6", _TIME,
         lambda m: [m.signed(exp=m.claims["iat"] - 1), m.signed(exp=-1)]),
    case("iat-future", "issued an hour from now", "RFC 7519 §4.1.6",
         "Refuse tokens issued in the future, beyond a small difference of clocks.",
         lambda m: m.signed(iat=m.claims["iat"] + 3600, exp=m.claims["iat"] + 7200)),
    case("iat-types", "an iat that is no whole number", "RFC 7519 §2 (NumericDate)", _TIME,
         lambda m: m.each("iat", (str(m.claims["iat"]), None, True, [], {}))),
    case("nbf-future", "not valid before an hour from now", "RFC 7519 §4.1.5", "Check nbf where it is there.",
         lambda m: m.signed(nbf=m.claims["iat"] + 3600)),
    case("ids-types", "sub, client_id and jti of other JSON types, and empty", "RFC 9068 §2.2; RFC 7519 §4.1.2, §4.1.7",
         "Check that each is a text that is not empty.",
         lambda m: [text for name in ("sub", "client_id", "jti") for text in m.each(name, ("", None, 5, [], {}))]),
    case("roles-types", "roles and scope of other JSON types", "RFC 9068 §2.2.3; RFC 8693 §4.2",
         "Check that roles is a list of texts and scope a text, before they are compared.",
         lambda m: m.each("roles", ("reader", {"reader": True}, 5, [["reader"]], [5]))
         + m.each("scope", (5, ["reader"], {}))),
    case("json-payload", "payloads that are no JSON object in UTF-8", "RFC 7519 §7.2; RFC 8259",
         _JSON, lambda m: [
             m.raw(m.header, b"[]"), m.raw(m.header, b'"x"'), m.raw(m.header, b"null"), m.raw(m.header, b"{"),
             _json(m, lambda d: b"\xef\xbb\xbf" + d), _json(m, lambda d: d.decode().encode("utf-16")),
             _json(m, lambda d: d[:-1] + b',"x":NaN}'), _json(m, lambda d: d[:-1] + b',"x":Infinity}'),
             _json(m, lambda d: d[:-1] + b",}"), _json(m, lambda d: d[:-1] + b',"x":"\\ud800"}'),
             _json(m, lambda d: d + b"x"), _json(m, lambda d: d[:-1] + b',"x":"\xff"}'),
             _json(m, lambda d: d[:-1] + b"/* */}"),
         ]),
    case("json-header", "headers that are no JSON object", "RFC 7515 §4; RFC 8259 §8.1", _JSON,
         lambda m: [m.raw(b"[]", m.claims), _header_json(m, lambda d: b"\xef\xbb\xbf" + d),
                    _header_json(m, lambda d: d[:-1] + b',"x":NaN}'), _header_json(m, lambda d: d[:-1] + b",}")]),
    case("json-repeated", "a claim and a header member given twice", "RFC 7515 §4, §5.2; RFC 7519 §4", _JSON,
         lambda m: [_json(m, _repeated), _header_json(m, lambda d: d[:-1] + b',"alg":"none"}')]),
    case("json-deep", "a claim nested a thousand deep", "RFC 8259 §9",
         "Bound size and depth; a crash on a token is a way to stop the API.",
         lambda m: [_json(m, lambda d: d[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}")]
         if len(m.good) + 3000 < 8192 else []),  # noqa: PLR2004 - what fits into a token
    case("too-long", "a token of 12 kB", "RFC 6585 §5; RFC 6750 §3.1",
         "Bound the length of tokens (8 kB is plenty) before anything is done with them.",
         lambda m: m.signed(padding="x" * 9000)),
    case("no-role", "signed and live, but without the role that this call needs", "RFC 6750 §3.1 (insufficient_scope)",
         "Check the role of each call, also for a token that was let in a moment ago for another one.",
         lambda m: [m.issued(roles=[], scope=""), m.issued(roles=["kit-other"], scope="kit-other")]),
]  # fmt: skip
