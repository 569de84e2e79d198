"""Bad tokens, first part: signatures, algorithms, keys, and other spellings (RFC 7515, RFC 8725)."""

import hmac
import json
import zlib
from collections.abc import Iterator
from functools import partial

from resource_server.kit.case import Case, Material, case
from resource_server.kit.signing import b64, dump, other_s, parts, unb64

_ALLOW = "Configure a fixed list of asymmetric algorithms and give it to the library; never take alg from the token."
_LINKS = (
    "Take keys only from the configured JWKS of the issuer; ignore jku, jwk, x5u and x5c, and make no request for them."
)
_STRICT = (
    "Refuse whatever is not exactly three base64url parts in their one spelling, before anything else is done with it."
)
_VERIFY = "Verify the signature over the bytes that came, with a key of the issuer's JWKS, before any claim is used."
_NONE = "RFC 8725 §3.2; RFC 7519 §6"
_BASE64 = "RFC 7515 §2 (base64url without padding, line breaks or other characters), §5.2"


def _unsigned(material: Material, alg: object) -> Iterator[str]:
    header = {**material.header, "alg": alg}
    if alg is None:
        del header["alg"]
    text = f"{b64(dump(header))}.{b64(dump(material.claims))}"
    signature = material.good.rpartition(".")[2]
    yield from (f"{text}.", f"{text}.{signature}", text)


def _hmac(material: Material, secret: bytes) -> str:
    header = {**material.header, "alg": "HS256"}
    text = f"{b64(dump(header))}.{b64(dump(material.claims))}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def _pems(material: Material) -> Iterator[str]:
    if material.issuer is None:
        return
    pem = material.issuer.active.pem
    jwk = dump(material.issuer.active.jwk)
    spellings = (pem, pem.strip(), b"\n" + pem, b" " + pem, b"\t" + pem, b"\xef\xbb\xbf" + pem, pem.rstrip() + b" ")
    for key in (*spellings, pem.replace(b"\n", b"\r\n"), pem.replace(b"\n", b"\r"), pem.replace(b"\n", b"\n\n"), jwk):
        yield _hmac(material, key)


def _tampered(material: Material, **claims: object) -> str:
    head, _, sign = material.good.split(".")
    return f"{head}.{b64(dump({**material.claims, **claims}))}.{sign}"


def _own_key(material: Material, header: dict[str, object]) -> str:
    return material.stranger.jws({**material.header, "alg": "ES256", **header}, material.claims)


def _resigned(material: Material, alg: str) -> str:
    """Right key, right signature, but the header names another algorithm."""
    return material.raw({**material.header, "alg": alg}, material.claims)


def _rsa_confused(material: Material) -> str:
    """An RS256 key of the issuer, used with PS256."""
    if material.issuer is None:
        return material.good + "x"
    key = next((k for k in material.issuer.keys.values() if k.alg == "RS256"), None) or material.issuer.announce(
        "RS256"
    )
    return key.jws({**material.header, "alg": "PS256", "kid": key.kid}, material.claims, alg="PS256")


def _signature_bits(material: Material) -> Iterator[str]:
    head, _, sign = material.good.rpartition(".")
    if len(unb64(sign)) % 3:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        last = alphabet[alphabet.index(sign[-1]) | 1]
        if last != sign[-1]:
            yield f"{head}.{sign[:-1]}{last}"


def _altered(material: Material) -> Iterator[str]:
    head, _, sign = material.good.rpartition(".")
    data = bytearray(unb64(sign))
    data[-1] ^= 1
    yield f"{head}.{b64(bytes(data))}"
    yield f"{head}.{b64(bytes(len(data)))}"
    yield f"{head}.{b64(bytes(data[: len(data) // 2]))}"


def _json_serialised(material: Material) -> Iterator[str]:
    head, body, sign = material.good.split(".")
    yield json.dumps({"protected": head, "payload": body, "signature": sign}, separators=(",", ":"))
    signatures = [{"protected": head, "signature": sign}]
    yield json.dumps({"payload": body, "signatures": signatures}, separators=(",", ":"))


def _jwe(_: Material) -> str:
    header = {"alg": "dir", "enc": "A256GCM", "zip": "DEF", "typ": "at+jwt"}
    compressed = zlib.compress(bytes(200_000), 9)
    return ".".join((b64(dump(header)), "", b64(bytes(12)), b64(compressed), b64(bytes(16))))


def _other_s(material: Material) -> Iterator[str]:
    if material.header.get("alg") == "ES256":
        head, _, _ = material.good.rpartition(".")
        yield f"{head}.{b64(other_s(parts(material.good)[2]))}"


SIGNATURES: list[Case] = [
    *(
        case(
            f"alg-{name}",
            f"alg {shown}, with no, an empty and the original signature",
            _NONE,
            _ALLOW,
            partial(_unsigned, alg=alg),
            keyless=True,
        )
        for name, shown, alg in (
            ("none", '"none"', "none"), ("none-capital", '"None"', "None"), ("none-upper", '"NONE"', "NONE"),
            ("none-mixed", '"nOnE"', "nOnE"), ("empty", '""', ""), ("missing", "left out", None),
            ("number", "0", 0), ("list", "[]", []),
        )
    ),
    case("hmac-public-key", "HS256, with the issuer's public key, in eleven spellings, as the secret",
         "RFC 8725 §2.1, §3.1", _ALLOW, _pems),
    case("hmac-empty-key", "HS256, with an empty, a NUL and a blank secret", "RFC 8725 §3.1, §3.5", _ALLOW,
         lambda m: [_hmac(m, key) for key in (b"", b"\0", b" ")], keyless=True),
    case("hmac-guessable-key", "HS256, with a secret from the first page of every word list", "RFC 8725 §3.5", _ALLOW,
         lambda m: [_hmac(m, key) for key in (b"secret", b"password", b"changeme", b"key", b"jwt")], keyless=True),
    case("signature-altered", "the good token with a changed, a zero and a short signature", "RFC 7515 §5.2", _VERIFY,
         _altered, keyless=True),
    case("claims-altered", "the good token with more roles under the old signature", "RFC 7515 §5.2", _VERIFY,
         lambda m: [_tampered(m, roles=["admin"], scope="admin"), _tampered(m, sub="usr_somebody")], keyless=True),
    case("stranger-same-kid", "signed by a stranger, with the kid of the issuer's key", "RFC 7515 §5.2", _VERIFY,
         lambda m: _own_key(m, {}), keyless=True),
    case("stranger-unknown-kid", "signed by a stranger, with a kid that is in no key set", "RFC 8725 §3.8",
         "Refuse tokens whose kid is not in the issuer's key set.", lambda m: _own_key(m, {"kid": m.stranger.kid}),
         keyless=True),
    case("stranger-no-kid", "signed by a stranger, with no kid", "RFC 8725 §3.8",
         "Refuse tokens without a kid; do not try key after key, nor the first.", lambda m: _own_key(m, {"kid": None}),
         keyless=True),
    case("embedded-jwk", "signed by a stranger, with the stranger's key in jwk", "RFC 8725 §3.10", _LINKS,
         lambda m: _own_key(m, {"jwk": m.stranger.jwk, "kid": m.stranger.kid}), keyless=True),
    case("link-jku", "signed by a stranger, with a link to the stranger's key set in jku", "RFC 8725 §3.10", _LINKS,
         lambda m: _own_key(m, {"jku": m.steal_url + "jku", "kid": m.stranger.kid}), keyless=True),
    case("link-x5u", "signed by a stranger, with a link to a certificate in x5u", "RFC 8725 §3.10", _LINKS,
         lambda m: _own_key(m, {"x5u": m.steal_url + "x5u", "kid": m.stranger.kid}), keyless=True),
    case("embedded-x5c", "signed by a stranger, with a certificate in x5c", "RFC 7515 §4.1.6; RFC 8725 §3.10", _LINKS,
         lambda m: _own_key(m, {"x5c": [b64(bytes(300))], "kid": m.stranger.kid}), keyless=True),
    case("kid-path", "a kid that is a path, a query and a command", "RFC 8725 §3.10",
         "Look a kid up in the key set as it is; never use it as a file name, in SQL or in a URL.",
         lambda m: [_own_key(m, {"kid": kid}) for kid in ("../../../../dev/null", "x' OR '1'='1", "|id", "\0")],
         keyless=True),
    case("kid-types", "a kid of every other JSON type", "RFC 7515 §4.1.4",
         "Check that kid is text before it is used; a crash on it is a way to stop the API.",
         lambda m: m.each_header("kid", (None, 5, [], {}, True, ""))),
    case("alg-of-other-kind", "the right signature under es256, ES512, HS256 and others", "RFC 8725 §3.1, §3.2",
         "Bind each key to one algorithm (the alg of the JWK) and compare exactly.",
         lambda m: [_resigned(m, alg) for alg in ("es256", "ES256 ", "ES256\0", "ES512", "ES256K", "RS512", "HS256")]),
    case("alg-other-padding", "an RS256 key used for PS256", "RFC 8725 §3.1; RFC 8017 §8",
         "Bind each key to one algorithm (the alg of the JWK).", _rsa_confused),
    case("crit-unknown", "a critical extension that nobody knows", "RFC 7515 §4.1.11",
         "Refuse tokens with crit, unless everything it names is understood and processed.",
         lambda m: m.signed({"crit": ["x-kit"], "x-kit": True})),
    case("crit-malformed", "crit as an empty list, a text, and naming what is not there", "RFC 7515 §4.1.11",
         "Refuse tokens with crit.", lambda m: m.each_header("crit", ([], "exp", ["exp"], None))),
    case("b64-false", "b64 false, with and without crit, with a detached payload", "RFC 7797 §6, §7",
         "Refuse tokens with b64; JWTs never use it.",
         lambda m: [m.signed({"b64": False}), m.signed({"b64": False, "crit": ["b64"]}),
                    "{0}..{2}".format(*m.signed({"b64": False, "crit": ["b64"]}).split("."))]),
    case("jwe", "an encrypted token with a zip bomb in it", "RFC 8725 §3.6; RFC 9068 §4",
         "Accept signed tokens in compact form only: three parts.", _jwe, keyless=True),
    case("json-serialisation", "the good token in both JSON serialisations", "RFC 7519 §3; RFC 8725 §2.6",
         "Accept signed tokens in compact form only: three parts.", _json_serialised, keyless=True),
    case("nested", "a good token as the payload of another", "RFC 7519 §5.2; RFC 9068 §2.1",
         "Refuse tokens whose payload is not a JSON object.",
         lambda m: m.raw({**m.header, "cty": "JWT"}, m.good.encode())),
    case("parts", "two, four and five parts, and none", "RFC 7515 §7.1", _STRICT,
         lambda m: [m.good.rpartition(".")[0], m.good + ".x", m.good + ".x.y", "..", "x"], keyless=True),
    case("spelling-padding", "the good token with = at the end of parts", _BASE64, _STRICT,
         lambda m: [m.good + "=", m.good + "==", m.good.replace(".", "=.")], keyless=True),
    case("spelling-rubbish", "the good token with characters that lax decoders skip", _BASE64, _STRICT,
         lambda m: [m.good + "!!!!", m.good[:20] + "*" + m.good[20:]], keyless=True),
    case("spelling-bits", "the good token with unused bits set in its last character", _BASE64, _STRICT,
         _signature_bits, keyless=True),
    case("spelling-signature", "the other valid spelling (r, n - s) of the ECDSA signature",
         "RFC 8725 §3.3; FIPS 186-5 §6.4 (two signatures verify)",
         "Refuse ES256 signatures whose s is above half the order: this issuer never makes them. Judge ends by jti,"
         " never by the text of a token.", _other_s, keyless=True),
]  # fmt: skip
"""Most of them need no key: anybody can make them from a token they have seen."""
