"""mTLS (RFC 8705): clients by the certificate of their TLS connection, and tokens that are bound to it."""

import base64
import ipaddress
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from sqlalchemy import update

from authserver.actions import credentials, general_settings, resource_servers
from authserver.actions.client_authentication import certificates
from authserver.actions.credentials import restrict
from authserver.oauth.proxies.client_certificate import MalformedCertificate, certificate_of
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.certificate import condition_of
from authserver.rules.client_authentication.restrictions import Restrictions
from authserver.store.engine.prepared import ThreadConnections
from authserver.store.tables import secrets
from tests.support.assertions import Signer, assertion, form, proof, registered
from tests.support.certificates import BEGINS, DAY, Authority, self_signed
from tests.support.wsgi_client import BACKENDS, basic, noted, opened, parts

AUTHORITY = Authority()
OTHER = Authority("CN=Other CA")
HEADER = "X-Client-Certificate"
PROXY = {"REMOTE_ADDR": "10.1.2.3"}
OUTSIDE = {"REMOTE_ADDR": "203.0.113.9"}
API = "https://api.example.com"


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    config = {
        "trusted_proxies": "10.0.0.0/8",
        "client_cert_header": HEADER,
        "client_ca": AUTHORITY.pem,
        "mtls_url": "https://mtls.auth.example.com",
    }
    for world in opened(request.param, tmp_path_factory.mktemp("mtls"), **config):
        general_settings.set_general(world.accounts, "max_credentials_per_user", "1000", **world.who)
        yield world


def call(world, path, form, header, environ=PROXY, **headers):
    """A request over TLS, whose certificate the proxy wrote as ``header``; None: it wrote none."""
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7", **headers}
    if header is not None:
        sent[HEADER] = header
    return world.http.post(path, data=form, headers=sent, environ_base=environ)


def token(world, client_id, header, *, environ=PROXY, headers=(), **more):
    form = {"grant_type": "client_credentials", "client_id": client_id, **more}
    return call(world, "/oauth/token", form, header, environ, **dict(headers))


def refused(world, client_id, header, reason, **more):
    """The one face of every failure, and the true reason for the log."""
    with noted(world) as notes:
        answer = token(world, client_id, header, **more)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
    assert answer.json["error_description"] == (
        "Unknown client, wrong secret, or the credential is disabled or expired."
    )
    assert notes[-1]["reason"] == reason, notes
    return answer


def pinned(world, certificate, client_id=None):
    """A credential for which this one certificate stands; its client id."""
    client_id = client_id or world.credential()[0]
    wanted = certificates.registered(certificate.pem, world.clock.at)
    certificates.add(world.accounts, client_id, wanted, **world.who)
    return client_id


def named(world, name, value, client_id=None):
    """A credential for which certificates of the authority with this name stand; its client id."""
    client_id = client_id or world.credential()[0]
    certificates.add(world.accounts, client_id, certificates.named(name, value), **world.who)
    return client_id


def granted(answer, certificate=None):
    """The token of a good answer, bound to a certificate or to nothing."""
    assert (answer.status_code, answer.json["token_type"]) == (200, "Bearer"), answer.text
    text = answer.json["access_token"]
    wanted = None if certificate is None else {"x5t#S256": certificate.thumbprint}
    assert parts(text)[1].get("cnf") == wanted
    return text


# --- self_signed_tls_client_auth, RFC 8705 §2.2 --------------------------------------------


def test_X_01_a_registered_certificate_authenticates_its_client_and_no_other_does(world):
    mine, others = self_signed(), self_signed()
    client_id = pinned(world, mine)
    text = granted(token(world, client_id, mine.structured), mine)
    assert parts(text)[1]["client_id"] == client_id
    assert world.active(text)
    refused(world, client_id, others.structured, "certificate_unknown")
    assert token(world, client_id, None).status_code == 401  # the same bytes, and what was parsed of them is cached
    renewed = self_signed(private=mine.private)
    refused(world, client_id, renewed.structured, "certificate_unknown")
    granted(token(world, pinned(world, renewed, client_id), renewed.structured), renewed)
    granted(token(world, client_id, mine.structured), mine)  # two at once, for the time between


def test_X_01_the_client_id_says_whose_certificate_it_is(world):
    mine = self_signed()
    pinned(world, mine)
    for answer in (
        token(world, "", mine.structured),
        call(world, "/oauth/token", {"grant_type": "client_credentials"}, mine.structured),
    ):
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    refused(world, world.client[0], mine.structured, "no_certificate")
    refused(world, "3b241101-e2bb-4255-8caf-4136c566a962", mine.structured, "unknown_client")
    refused(world, "nobody", mine.structured, "malformed_client_id")


def test_nobody_authenticates_without_a_certificate(world):
    client_id = pinned(world, self_signed())
    answer = token(world, client_id, None)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    answer = token(world, client_id, "")
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_a_certificate_as_jwk_with_x5c_and_as_a_set_of_one(world):
    for wrapped in (lambda jwk: jwk, lambda jwk: {"keys": [jwk]}):
        mine = self_signed()
        text = json.dumps(wrapped({"kty": "EC", "x5c": [mine.base64]}))
        client_id, _ = world.credential()
        certificates.add(world.accounts, client_id, certificates.registered(text, world.clock.at), **world.who)
        granted(token(world, client_id, mine.structured), mine)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "swordfish",
        "{}",
        '{"keys": []}',
        '{"kty": "EC", "x5c": []}',
        '{"kty": "EC", "x5c": ["AAAA"]}',
        '{"kty": "EC", "x5c": [1]}',
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        self_signed().pem * 2,
        self_signed().pem + self_signed().key_pem,
        json.dumps({"kty": "EC", "d": "AAAA", "x5c": [self_signed().base64]}),
        self_signed(private=rsa.generate_private_key(65537, 1024)).pem,  # noqa: S505 - too short on purpose
        self_signed(ends=BEGINS + DAY).pem,
        "x" * 20_000,
    ],
)
def test_what_cannot_be_registered(text):
    with pytest.raises(Invalid):
        certificates.registered(text, BEGINS + 2 * DAY)


def test_a_request_by_certificate_is_one_statement(world, monkeypatch):
    mine, counts, run = self_signed(), [], ThreadConnections.run
    client_id = pinned(world, mine)
    monkeypatch.setattr(ThreadConnections, "run", lambda *args, **more: counts.append(1) or run(*args, **more))
    for _ in range(2):
        granted(token(world, client_id, mine.structured), mine)
    refused(world, client_id, self_signed().structured, "certificate_unknown")
    assert len(counts) == 3


# --- tls_client_auth, RFC 8705 §2.1 --------------------------------------------------------

ALTERNATIVES = (
    x509.DNSName("Payroll.example.com"),
    x509.UniformResourceIdentifier("spiffe://example.org/payroll"),
    x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
    x509.RFC822Name("Payroll@Example.com"),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject_dn", "CN=payroll,O=Acme,C=DE"),
        ("san_dns", "payroll.example.com"),
        ("san_dns", "PAYROLL.example.COM"),
        ("san_uri", "spiffe://example.org/payroll"),
        ("san_ip", "2001:db8:0:0::7"),
        ("san_email", "Payroll@example.com"),
    ],
)
def test_X_01_a_name_on_a_certificate_of_the_authority(world, name, value):
    mine = AUTHORITY.issue(alternatives=ALTERNATIVES)
    client_id = named(world, name, value)
    granted(token(world, client_id, mine.structured), mine)
    for forger in (OTHER.issue(alternatives=ALTERNATIVES), Authority().issue(alternatives=ALTERNATIVES)):
        refused(world, client_id, forger.structured, "certificate_untrusted")
    own = self_signed(extensions=[(x509.SubjectAlternativeName(list(ALTERNATIVES)), False)])
    refused(world, client_id, own.structured, "certificate_untrusted")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject_dn", "CN=payroll,O=Acme"),
        ("subject_dn", "C=DE,O=Acme,CN=payroll"),
        ("subject_dn", "CN=Payroll,O=Acme,C=DE"),
        ("subject_dn", "CN=payroll+O=Acme,C=DE"),
        ("subject_dn", r"CN=payroll\,O=Acme,C=DE"),
        ("san_dns", "example.com"),
        ("san_dns", "x.payroll.example.com"),
        ("san_uri", "spiffe://example.org/payroll/x"),
        ("san_uri", "spiffe://example.org/Payroll"),
        ("san_ip", "2001:db8::8"),
        ("san_email", "payroll@example.com"),
        ("san_email", "example.com@x"),
    ],
)
def test_a_name_that_is_another(world, name, value):
    refused(
        world, named(world, name, value), AUTHORITY.issue(alternatives=ALTERNATIVES).structured, "certificate_unknown"
    )


def test_a_subject_that_holds_the_text_of_another(world):
    client_id = named(world, "subject_dn", "CN=payroll,O=Acme,C=DE")
    for name in (
        r"CN=payroll\,O=Acme\,C=DE",
        r"CN=payroll\,O\=Acme,C=DE",
        "CN=payroll+O=Acme,C=DE",
        "CN=payroll,O=Acme,C=DE,C=DE",
    ):
        refused(world, client_id, AUTHORITY.issue(name).structured, "certificate_unknown")


def test_no_wildcard_on_either_side(world):
    wild = AUTHORITY.issue(alternatives=[x509.DNSName("*.example.com")])
    refused(world, named(world, "san_dns", "payroll.example.com"), wild.structured, "certificate_unknown")
    with pytest.raises(Invalid):
        certificates.named("san_dns", "*.example.com")


def test_an_email_address_in_the_subject_and_parts_of_two_attributes(world):
    mine = AUTHORITY.issue("1.2.840.113549.1.9.1=a@b.de,CN=x+OU=y,O=Acme")
    granted(token(world, named(world, "subject_dn", "emailAddress=a@b.de,OU=y+CN=x,O=Acme"), mine.structured), mine)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"usage": "server"}, "certificate_untrusted"),
        ({"extensions": [(x509.BasicConstraints(ca=True, path_length=None), True)]}, "certificate_untrusted"),
        (
            {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]},
            "certificate_untrusted",
        ),
        ({"ends": BEGINS + DAY}, "certificate_expired"),
        ({"begins": BEGINS + 5_000 * DAY}, "certificate_not_yet_valid"),
    ],
)
def test_a_certificate_of_the_authority_that_is_not_good(world, more, reason):
    refused(world, named(world, "subject_dn", "CN=payroll,O=Acme,C=DE"), AUTHORITY.issue(**more).structured, reason)


def test_a_certificate_without_any_extension_is_good_and_so_are_other_keys(world):
    client_id = named(world, "subject_dn", "CN=payroll,O=Acme,C=DE")
    for more in (
        {"usage": ""},
        {"private": rsa.generate_private_key(65537, 2048)},
        {"private": ed25519.Ed25519PrivateKey.generate()},
    ):
        mine = AUTHORITY.issue(**more)
        granted(token(world, client_id, mine.structured), mine)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject_dn", "payroll"),
        ("subject_dn", "XY=payroll"),
        ("subject_dn", "CN=payroll,"),
        ("subject_dn", ""),
        ("subject_dn", "CN=a\nb"),
        ("san_dns", "a..b"),
        ("san_dns", "a b"),
        ("san_dns", "x" * 64),
        ("san_uri", "payroll"),
        ("san_uri", "spiffe://a b"),
        ("san_ip", "10.0.0.0/8"),
        ("san_ip", "payroll"),
        ("san_email", "payroll"),
        ("san_email", "@example.com"),
        ("issuer_dn", "CN=Acme CA"),
        ("x5t#S256", "A" * 43),
    ],
)
def test_names_that_cannot_be(name, value):
    with pytest.raises(Invalid):
        certificates.named(name, value)


# --- the life of a certificate -------------------------------------------------------------


def test_a_registered_certificate_that_is_over_or_not_begun(world):
    over, ahead = self_signed(ends=world.clock.at + 100), self_signed(begins=world.clock.at + 100)
    client_id = pinned(world, ahead, pinned(world, over))
    refused(world, client_id, ahead.structured, "certificate_not_yet_valid")
    text = granted(token(world, client_id, over.structured), over)
    assert parts(text)[1]["exp"] == world.clock.at + 101  # no token outlives what it was obtained with
    world.clock.at += 101
    refused(world, client_id, over.structured, "certificate_expired")
    granted(token(world, client_id, ahead.structured), ahead)


def test_a_removed_condition_ends_its_tokens(world):
    first, second = self_signed(), self_signed()
    client_id = pinned(world, second, pinned(world, first))
    texts = [granted(token(world, client_id, each.structured), each) for each in (first, second)]
    record = next(each for each in world.accounts.credential(client_id).certificates if first.thumbprint in each.text)
    certificates.remove(world.accounts, client_id, record.id, **world.who)
    assert [world.active(each) for each in texts] == [False, True]
    refused(world, client_id, first.structured, "certificate_ended")
    with pytest.raises(NotFound):
        certificates.remove(world.accounts, client_id, record.id, **world.who)
    detail = json.loads(world.accounts.audit_newest(1)[0].detail)
    assert detail == {"certificate": record.id, "name": "x5t#S256", "value": first.thumbprint}


def test_what_a_credential_may_have(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    with pytest.raises(Conflict):
        pinned(world, mine, client_id)
    for number in range(certificates.MOST_CONDITIONS - 1):
        named(world, "san_dns", f"host{number}.example.com", client_id)
    with pytest.raises(Conflict):
        named(world, "san_dns", "one-more.example.com", client_id)
    with pytest.raises(NotFound):
        certificates.add(
            world.accounts, client_id, certificates.named("san_dns", "a.b"), owner_id="somebody", **world.who
        )


def test_a_certificate_lets_all_secrets_end(world):
    mine = self_signed()
    client_id, secret = world.credential()
    with pytest.raises(Conflict):
        credentials.end_secrets(world.accounts, client_id, **world.who)
    pinned(world, mine, client_id)
    credentials.end_secrets(world.accounts, client_id, **world.who)
    assert world.token((client_id, secret)).status_code == 401
    granted(token(world, client_id, mine.structured), mine)


def test_what_holds_for_every_credential_holds_for_one_with_a_certificate(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    restrict(world.accounts, client_id, Restrictions(networks=(ipaddress.ip_network("192.0.2.0/24"),)), **world.who)
    refused(world, client_id, mine.structured, "network_not_allowed")
    restrict(world.accounts, client_id, Restrictions(), **world.who)
    credentials.disable(world.accounts, client_id, **world.who)
    refused(world, client_id, mine.structured, "credential_disabled")
    credentials.enable(world.accounts, client_id, **world.who)
    granted(token(world, client_id, mine.structured), mine)
    credentials.delete(world.accounts, client_id, **world.who)
    refused(world, client_id, mine.structured, "credential_deleted")


def test_INV_24_a_condition_of_a_newer_version_lets_nobody_in(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    (record,) = world.accounts.credential(client_id).certificates
    newer = json.dumps(
        {"certificate": {"name": "x5t#S256", "value": mine.thumbprint, "pin": "x"}}, separators=(",", ":")
    )
    with world.store.engine.begin() as connection:
        connection.execute(update(secrets).where(secrets.c.id == record.id).values(trust=newer))
    refused(world, client_id, mine.structured, "certificate_unknown")
    certificates.remove(world.accounts, client_id, record.id, **world.who)


def test_the_reason_is_in_the_time_line_of_its_owner(world):
    client_id = pinned(world, self_signed())
    refused(world, client_id, self_signed().structured, "certificate_unknown")
    world.store.usage.flush()
    assert world.store.credential_reads.refusals(client_id, 0)["certificate_unknown"] == 1


# --- who may say which certificate it was --------------------------------------------------


def test_X_03_the_header_counts_from_a_trusted_proxy_alone(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    granted(token(world, client_id, mine.structured), mine)
    for environ in (OUTSIDE, {"REMOTE_ADDR": "127.0.0.1"}, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "10.1.2.3.4"}):
        answer = token(world, client_id, mine.structured, environ=environ)
        assert answer.json["error"] in {"invalid_client", "invalid_request"}, answer.text
        assert answer.status_code in {400, 401}


def test_X_03_no_other_header_is_read(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    for name in ("Client-Cert", "X-Forwarded-Client-Cert", "SSL-Client-Cert", "X-SSL-Client-Cert", "X-Client-Cert"):
        answer = token(world, client_id, None, headers=[(name, mine.structured)])
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_the_setting_is_off_unless_a_header_is_named(tmp_path):
    for world in opened("sqlite", tmp_path, trusted_proxies="10.0.0.0/8"):
        mine = self_signed()
        client_id = pinned(world, mine)
        for name in (HEADER, "Client-Cert"):
            answer = token(world, client_id, None, headers=[(name, mine.structured)])
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        document = world.http.get("/.well-known/oauth-authorization-server").json
        assert not [name for name in document if "tls" in name]
        assert not [each for each in document["token_endpoint_auth_methods_supported"] if "tls" in each]


def test_without_authorities_only_registered_certificates_count(tmp_path):
    for world in opened("sqlite", tmp_path, trusted_proxies="10.0.0.0/8", client_cert_header=HEADER):
        mine = self_signed()
        refused(world, named(world, "subject_dn", "CN=payroll,O=Acme,C=DE"), mine.structured, "certificate_untrusted")
        granted(token(world, pinned(world, mine), mine.structured), mine)
        methods = world.http.get("/.well-known/oauth-authorization-server").json[
            "token_endpoint_auth_methods_supported"
        ]
        assert [each for each in methods if "tls" in each] == ["self_signed_tls_client_auth"]


@pytest.mark.parametrize("form", ["structured", "base64", "escaped", "one_line", "forwarded"])
def test_the_forms_of_proxies(world, form):
    mine = self_signed()
    granted(token(world, pinned(world, mine), getattr(mine, form)), mine)


def test_the_last_element_of_envoy_counts_which_the_nearest_proxy_wrote(world):
    mine, forged = self_signed(), self_signed()
    client_id = pinned(world, mine)
    granted(token(world, client_id, f"{forged.forwarded}, {mine.forwarded}"), mine)
    refused(world, client_id, f"{mine.forwarded},{forged.forwarded}", "certificate_unknown")
    injected = f'By=a;Subject="x\\",Cert=\\"{mine.escaped}\\"";Cert="{forged.escaped}"'
    refused(world, client_id, injected, "certificate_unknown")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        ":",
        "::",
        ":AAAA:",
        ":%s",
        "%s:",
        "%s,%s",
        "%s %s",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----%s",
        "%%2D%%2D",
        "%%GG",
        "By=x",
        'Cert="%s"',
        'Cert="x";Cert="y"',
        'Cert="x',
        "By=;;",
        "=" * 40,
        "M" * 13_000,
        "MI" + "A" * 11_998,
        "(null)",
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}".encode().decode("latin-1"),
    ],
)
def test_garbage_is_refused_like_everything_else(world, text):
    mine = self_signed()
    filled = text.replace("%s", mine.base64[:-8] if text.startswith("Cert") else mine.base64).replace("%%", "%")
    refused(world, pinned(world, mine), filled, "malformed_certificate")
    with noted(world) as notes:  # never a token that is bound to nothing instead
        answer = call(
            world, "/oauth/token", {"grant_type": "client_credentials"}, filled, Authorization=basic(*world.client)
        )
    assert (answer.status_code, notes[-1]["reason"]) == (401, "malformed_certificate")


def test_no_cut_or_changed_certificate_breaks_the_reader():
    der = self_signed(extensions=[(x509.SubjectAlternativeName(list(ALTERNATIVES)), False)]).der

    for at in range(0, len(der), 3):
        for changed in (der[:at], der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :], der[:at] + der[at + 1 :]):
            try:
                certificate_of(base64.b64encode(changed).decode() or "x")
            except MalformedCertificate:
                continue


# --- tokens that are bound to a certificate, RFC 8705 §3 -----------------------------------


def test_X_02_introspection_says_what_a_token_is_bound_to(world):
    mine = self_signed()
    text = granted(token(world, pinned(world, mine), mine.structured), mine)
    for _ in range(2):
        document = world.introspect(text).json
        assert (document["active"], document["token_type"]) == (True, "Bearer")
        assert document["cnf"] == {"x5t#S256": mine.thumbprint}
        world.store.usage.flush()


def test_a_secret_or_a_key_is_bound_only_where_that_is_required(world):
    mine, signer = self_signed(), Signer()
    client_id, secret = world.credential()
    registered(world, client_id, signer)

    def by_secret(header):
        return call(
            world, "/oauth/token", {"grant_type": "client_credentials"}, header, Authorization=basic(client_id, secret)
        )

    def by_key(header):
        fields = {"grant_type": "client_credentials", **form(assertion(world, client_id, signer))}
        return call(world, "/oauth/token", fields, header)

    granted(by_secret(mine.structured))
    granted(by_key(mine.structured))
    restrict(world.accounts, client_id, Restrictions(bound=True), **world.who)
    granted(by_secret(mine.structured), mine)
    granted(by_key(mine.structured), mine)
    for answer in (by_secret(None), by_key(None)):
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")


def test_a_resource_server_and_the_general_setting_may_require_it(world):
    mine = self_signed()
    client_id = pinned(world, mine)
    server = resource_servers.register_resource_server(
        world.accounts, "vault", "https://vault.example.com", pepper=world.store.pepper, **world.who
    ).server
    resource_servers.require_of_tokens(world.accounts, server.name, ("key", "bound"), **world.who)
    granted(token(world, client_id, mine.structured, resource=server.audience), mine)
    answer = world.token(resource=server.audience)
    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")
    general_settings.set_general(world.accounts, "client_secrets_allowed", "0", **world.who)
    general_settings.set_general(world.accounts, "bound_tokens_required", "1", **world.who)
    try:
        granted(token(world, client_id, mine.structured), mine)
        assert world.token().json["error"] == "unauthorized_client"
    finally:
        general_settings.set_general(world.accounts, "client_secrets_allowed", "1", **world.who)
        general_settings.set_general(world.accounts, "bound_tokens_required", "0", **world.who)


def test_a_proof_binds_to_its_key_also_at_the_alias(world):
    mine, signer = self_signed(), Signer()
    client_id = pinned(world, mine)
    for base in ("https://mtls.auth.example.com", world.services.issuer):
        header = proof(world, signer, htu=f"{base}/oauth/token")
        answer = token(world, client_id, mine.structured, headers=[("DPoP", header)])
        assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP"), answer.text
        assert parts(answer.json["access_token"])[1]["cnf"] == {"jkt": signer.thumbprint}


def test_revocation_by_certificate(world):
    mine, other = self_signed(), self_signed()
    client_id = pinned(world, mine)
    text = granted(token(world, client_id, mine.structured), mine)
    form = {"token": text, "client_id": client_id}
    assert call(world, "/oauth/revoke", form, other.structured).status_code == 401
    assert world.active(text)
    assert call(world, "/oauth/revoke", form, mine.structured).status_code == 200
    assert not world.active(text)


def test_the_management_api_takes_a_bound_token_with_its_certificate_alone(world):
    mine = self_signed()
    audience = f"{world.services.issuer}/api/v1"
    resource_servers.register_management_api(world.accounts, audience, pepper=world.store.pepper, **world.who)
    client_id = pinned(world, mine, world.credential("ada", ("reader", "builder"))[0])
    text = granted(token(world, client_id, mine.structured, resource=audience), mine)

    def asked(header, environ=PROXY):
        headers = {"Authorization": f"Bearer {text}", "X-Forwarded-Proto": "https"}
        if header is not None:
            headers[HEADER] = header
        return world.http.get("/api/v1/me", headers=headers, environ_base=environ).status_code

    assert asked(mine.escaped) == 200
    for header in (None, self_signed().structured, "x"):
        assert asked(header) == 401
    assert asked(mine.structured, {"REMOTE_ADDR": "127.0.0.1"}) == 401


def test_M_09_the_metadata_says_what_is_offered(world):
    for path in ("oauth-authorization-server", "openid-configuration"):
        document = world.http.get(f"/.well-known/{path}").json
        assert document["tls_client_certificate_bound_access_tokens"] is True
        assert document["mtls_endpoint_aliases"] == {
            "token_endpoint": "https://mtls.auth.example.com/oauth/token",
            "revocation_endpoint": "https://mtls.auth.example.com/oauth/revoke",
        }
        for name in ("token", "revocation"):
            methods = document[f"{name}_endpoint_auth_methods_supported"]
            assert methods[-2:] == ["tls_client_auth", "self_signed_tls_client_auth"]
        assert not [each for each in document["introspection_endpoint_auth_methods_supported"] if "tls" in each]


class TestForwardAuth:
    """A gateway tells by a header that it names itself which certificate its client came with."""

    @pytest.fixture
    def bound(self, world):
        mine = self_signed()
        return mine, granted(token(world, pinned(world, mine), mine.structured), mine)

    def ask(self, world, text, query, **headers):
        headers = {"Authorization": f"Bearer {text}", "X-Gateway-Authorization": basic(*world.api), **headers}
        return world.http.get(f"/oauth/forward-auth{query}", headers=headers)

    def test_X_02_only_with_its_certificate(self, world, bound):
        mine, text = bound
        query = "?client_cert=X-Gateway-Cert&role=reader"
        assert self.ask(world, text, query, X_Gateway_Cert=mine.escaped).status_code == 204
        for sent, reason in (
            ({}, "no_certificate"),
            ({"X_Gateway_Cert": self_signed().escaped}, "other_certificate"),
            ({"X_Gateway_Cert": "x"}, "malformed_certificate"),
            ({"Client_Cert": mine.structured}, "no_certificate"),
        ):
            with noted(world) as notes:
                answer = self.ask(world, text, query, **sent)
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
            assert notes[-1]["reason"] == reason

    def test_X_03_a_gateway_that_names_no_header_lets_no_bound_token_pass(self, world, bound):
        mine, text = bound
        for name in ("X-Gateway-Cert", HEADER, "Client-Cert", "X-Forwarded-Client-Cert"):
            assert self.ask(world, text, "", **{name: mine.structured}).status_code == 401

    def test_a_refused_one_is_no_use(self, world, bound):
        mine, text = bound
        world.clock.at += 20 * 60
        assert self.ask(world, text, "").status_code == 401
        world.clock.at += 11 * 60
        assert self.ask(world, text, "?client_cert=X-Cert", X_Cert=mine.structured).status_code == 401
        assert not world.active(text)

    def test_the_name_of_the_header_is_one(self, world, bound):
        _, text = bound
        for query in ("?client_cert=", "?client_cert=a%20b", "?client_cert=A&client_cert=B", "?client_cert=a:b"):
            assert self.ask(world, text, query).status_code == 400

    def test_a_bearer_token_needs_none(self, world):
        assert self.ask(world, world.access_token(), "?client_cert=X-Cert").status_code == 204


def test_what_a_condition_is_kept_as():
    wanted = certificates.registered(self_signed().pem, BEGINS)
    assert condition_of(wanted.text) == wanted
    assert condition_of(certificates.named("san_dns", "A.b").text).value == "a.b"
    for members in ({}, {"name": "x", "value": "y"}, {"name": "san_ip", "value": 1}, {"name": "san_ip", "value": ""}):
        with pytest.raises(ValueError, match="condition on certificates"):
            condition_of(json.dumps({"certificate": members}))
