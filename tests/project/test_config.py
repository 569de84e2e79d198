"""Config: every name by value and by file, nothing unknown, and one sentence for every fault."""

import re

import pytest
from pydantic import SecretStr

from authserver.config import PREFIX, Config, InvalidConfig, load, networks
from tests.support.certificates import Authority, self_signed

AUTHORITY = Authority().pem.strip()
MASTER = "b2theS1mYWlyLWFuZC1zcXVhcmUtMzItYnl0ZXMhISE"
GOOD = {
    "database_url": "postgresql+psycopg://auth:p%40ss@db.example/auth",
    "database_pooler": "transaction",
    "issuer": "https://auth.example.com",
    "bind": "[::1]:9000",
    "workers": "3",
    "threads": "7",
    "master_key": MASTER,
    "other_master_key": MASTER,
    "key_store": "pem",
    "pkcs11_module": "/usr/lib/softhsm/libsofthsm2.so",
    "pkcs11_token": "signing",
    "pkcs11_pin": "4711",
    "state_directory": "/var/lib/authserver",
    "migrate": "0",
    "demo": "false",
    "trusted_proxies": "10.0.0.0/8, 192.0.2.7",
    "client_cert_header": "Client-Cert",
    "client_ca": AUTHORITY,
    "mtls_url": "https://mtls.auth.example.com",
    "metrics_peers": "10.9.0.0/16",
    "fetch_networks": "10.8.0.0/16",
    "smtp_server": "smtp.example.com:587",
    "smtp_tls": "tls",
    "smtp_user": "authserver",
    "smtp_password": "swordfish",
    "mail_from": "authserver@example.com",
    "mail_security": "security@example.com, soc@example.com",
    "mail_language": "de",
    "webhook_networks": "10.8.0.0/16",
    "push_networks": "10.7.0.0/16",
    "dpop_nonce_seconds": "60",
    "api_requests_per_minute": "600",
    "log_level": "warning",
    "log_format": "text",
    "publish_scopes": "1",
    "oidc_issuer": "https://id.example.com/",
    "oidc_client_id": "console",
    "oidc_client_secret": "a-secret-of-the-console",
    "oidc_label": "Example ID",
}
POSTGRESQL = {PREFIX + "DATABASE_URL": "postgresql+psycopg://db/auth"}


def name(field):
    return PREFIX + field.upper()


def fault(**values):
    with pytest.raises(InvalidConfig) as caught:
        load({name(field): value for field, value in values.items()})
    return str(caught.value)


def plain(settings, field):
    value = getattr(settings, field)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


# --- reading ------------------------------------------------------------------------------


def test_every_setting_has_a_sample_here_and_a_sentence():
    assert Config.model_fields.keys() == GOOD.keys()
    assert all(field.description for field in Config.model_fields.values())


def test_nothing_is_needed_for_a_first_start():
    settings = load({})
    assert settings.embedded
    assert settings.on_loopback
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("told", "url", "threads"),
    [
        ({}, "", 4),
        ({}, "sqlite:////srv/one.db", 4),
        ({}, "postgresql+psycopg://user@host/name", 8),
        ({"threads": "3"}, "postgresql+psycopg://user@host/name", 3),
    ],
)
def test_a_process_has_the_threads_its_database_needs_unless_told(told, url, threads):
    given = {**told, "master_key": GOOD["master_key"], **({"database_url": url} if url else {})}
    assert load({name(each): value for each, value in given.items()}).serving_threads == threads


@pytest.mark.parametrize("field", GOOD)
def test_by_value_and_by_file_are_the_same(field, tmp_path):
    others = {name(each): value for each, value in GOOD.items() if each != field}
    path = tmp_path / "value"
    path.write_text(GOOD[field] + "\n", encoding="utf-8")
    by_value = load({**others, name(field): GOOD[field]})
    by_file = load({**others, name(field) + "_FILE": str(path)})
    assert by_value == by_file
    assert plain(by_value, field) != plain(load({}), field)


@pytest.mark.parametrize("field", GOOD)
def test_given_twice_is_refused(field, tmp_path):
    path = tmp_path / "value"
    path.write_text(GOOD[field], encoding="utf-8")
    with pytest.raises(InvalidConfig, match=f"{name(field)} is given twice") as caught:
        load({name(field): GOOD[field], name(field) + "_FILE": str(path)})
    assert GOOD[field] not in str(caught.value)


@pytest.mark.parametrize(
    "unknown", ["WORKER", "MASTERKEY", "SECRET_KEY", "workers", "Workers", "", "FILE", "BIND_FILES"]
)
def test_an_unknown_name_is_refused_and_its_value_not_shown(unknown):
    with pytest.raises(InvalidConfig) as caught:
        load({PREFIX + unknown: "s3cr3t-value"})
    text = str(caught.value)
    assert f"unknown setting {PREFIX}{unknown}" in text
    assert "AUTHSERVER_WORKERS" in text
    assert "s3cr3t-value" not in text


def test_a_slip_is_met_with_the_right_name():
    with pytest.raises(InvalidConfig, match=r"did you mean AUTHSERVER_WORKERS\?"):
        load({"AUTHSERVER_WORKER": "2"})
    with pytest.raises(InvalidConfig, match=r"did you mean AUTHSERVER_MASTER_KEY_FILE\?"):
        load({"AUTHSERVER_MASTERKEY_FILE": "/run/secrets/key"})


def test_names_of_others_are_none_of_our_business():
    assert load({"AUTHSERVERX": "1", "PATH": "/bin", "authserver_bind": "nonsense"}) == load({})


def test_files_that_cannot_be_read(tmp_path):
    assert "AUTHSERVER_ISSUER_FILE" in fault(issuer_file=str(tmp_path / "absent"))
    assert "AUTHSERVER_ISSUER_FILE" in fault(issuer_file=str(tmp_path))
    assert "AUTHSERVER_ISSUER_FILE" in fault(issuer_file="")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fault(master_key_file=str(binary))
    binary.write_bytes(b"a\0b")
    assert "AUTHSERVER_MASTER_KEY" in fault(master_key_file=str(binary))


# --- what may not be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("database_url", "mysql://db/auth", "sqlite:///"),
        ("database_url", "sqlite://", "sqlite:///"),
        ("database_url", "sqlite:///", "name a file"),
        ("database_url", "sqlite:///:memory:", "name a file"),
        ("database_url", "postgresql+psycopg://auth:p@ss/w0rd:x@db/auth", "percent-encode"),
        ("database_url", "postgresql+psycopg://auth@db:port/auth", "percent-encode"),
        ("issuer", "auth.example.com", "https URL"),
        ("issuer", "https://auth.example.com/", "trailing slash"),
        ("issuer", "https://auth.example.com?a=b", "query"),
        ("issuer", "https://auth.example.com#x", "fragment"),
        ("issuer", "https://me:pw@auth.example.com", "https URL"),
        ("issuer", "https://auth.example.com:port", "https URL"),
        ("issuer", "https://[::1", "https URL"),
        ("issuer", "https://aüth.example.com", "https URL"),
        ("issuer", "https://auth.example.com\n", "https URL"),
        ("issuer", "http://auth.example.com", "https://"),
        ("issuer", "http://192.168.0.4:8000", "https://"),
        ("bind", "8000", "127.0.0.1:8000"),
        ("bind", ":8000", "127.0.0.1:8000"),
        ("bind", "127.0.0.1:", "127.0.0.1:8000"),
        ("bind", "127.0.0.1:0", "127.0.0.1:8000"),
        ("bind", "127.0.0.1:65536", "127.0.0.1:8000"),
        ("bind", "127.0.0.1:٨٠", "127.0.0.1:8000"),
        ("bind", "::1:8000", "[::1]:8000"),
        ("bind", "http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("bind", "127.0.0.1 :8000", "127.0.0.1:8000"),
        ("workers", "0", "from 1 to 64"),
        ("workers", "65", "from 1 to 64"),
        ("workers", "two", "from 1 to 64"),
        ("workers", "", "from 1 to 64"),
        ("threads", "-1", "from 0 to 64"),
        ("threads", "1.5", "from 0 to 64"),
        ("migrate", "maybe", "1 or 0"),
        ("demo", "", "1 or 0"),
        ("trusted_proxies", "proxy.example", "10.0.0.0/8"),
        ("client_cert_header", "Client Cert", "Client-Cert"),
        ("client_cert_header", "X-Forwarded-For", "Client-Cert"),
        ("client_ca", "swordfish", "PEM"),
        ("client_ca", self_signed().pem, "CA:TRUE"),
        ("mtls_url", "http://mtls.example.com", "https"),
        ("mtls_url", "https://mtls.example.com/", "trailing slash"),
        ("metrics_peers", "10.0.0.0/33", "10.0.0.0/8"),
        ("fetch_networks", "10.0.0.0/33", "10.0.0.0/8"),
        ("webhook_networks", "10.0.0.0/33", "10.0.0.0/8"),
        ("smtp_server", "smtp.example.com", "smtp.example.com:587"),
        ("smtp_server", "smtp.example.com:0", "smtp.example.com:587"),
        ("mail_from", "nobody", "security@example.com"),
        ("mail_security", "a@b.de, nobody", "security@example.com"),
        ("smtp_tls", "ssl", "'starttls', 'tls'"),
        ("log_level", "verbose", "'debug', 'info'"),
        ("master_key", "not base64!", "openssl rand -base64 32"),
        ("master_key", "dG9vIHNob3J0", "openssl rand -base64 32"),
        ("master_key", MASTER + MASTER, "openssl rand -base64 32"),
    ],
)
def test_a_bad_value_is_one_sentence_with_name_and_fix(field, value, fix):
    text = fault(**{field: value})
    assert text.startswith(name(field) + ": ")
    assert fix in text
    assert "\n" not in text


def test_client_certificates_need_a_proxy_that_passes_them_on():
    assert "AUTHSERVER_TRUSTED_PROXIES" in fault(client_cert_header="Client-Cert")
    assert "AUTHSERVER_CLIENT_CERT_HEADER" in fault(client_ca=AUTHORITY)
    assert "AUTHSERVER_CLIENT_CERT_HEADER" in fault(mtls_url="https://mtls.example.com")


def test_all_faults_are_told_at_once():
    text = fault(workers="many", log_level="loud", bind="nowhere")
    assert all(each in text for each in ("AUTHSERVER_WORKERS", "AUTHSERVER_LOG_LEVEL", "AUTHSERVER_BIND"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("master_key", "hunter2-hunter2"),
        ("master_key", MASTER[:-1]),
        ("database_url", "mysql://root:hunter2@db/x"),
        ("database_url", "postgresql+psycopg://root:hunter2@db:hunter2/x"),
        ("issuer", "https://root:hunter2@auth.example.com"),
    ],
)
def test_a_secret_is_never_echoed(field, value):
    text = fault(**{field: value})
    assert "hunter2" not in text
    assert MASTER[:-1] not in text


def test_settings_can_be_printed_without_their_secrets():
    shown = repr(load({name(field): value for field, value in GOOD.items()}))
    assert MASTER not in shown
    assert "p%40ss" not in shown
    assert "auth.example.com" in shown


# --- what belongs together --------------------------------------------------------------------


def test_beyond_loopback_an_issuer_is_needed():
    assert "AUTHSERVER_ISSUER is needed" in fault(bind="0.0.0.0:8000")
    assert "AUTHSERVER_ISSUER is needed" in fault(bind="[::]:8000")
    assert "AUTHSERVER_ISSUER is needed" in fault(bind="auth.example.com:8000")
    assert not load({name("bind"): "0.0.0.0:8000", name("issuer"): "https://a.example"}).on_loopback


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8000", "http://localhost:9", "http://[::1]:8000"])
def test_plain_http_on_loopback_is_fine(issuer):
    assert load({name("issuer"): issuer}).issuer == issuer


def test_several_nodes_share_a_key_that_somebody_gave_them():
    with pytest.raises(InvalidConfig, match=r"AUTHSERVER_MASTER_KEY is needed .*openssl rand -base64 32"):
        load(POSTGRESQL)
    assert not load({**POSTGRESQL, name("master_key"): MASTER}).embedded


@pytest.mark.parametrize("url", ["", "sqlite:////srv/auth.db", "sqlite:///auth.db"])
def test_sqlite_is_the_embedded_database(url):
    assert load({name("database_url"): url}).embedded


@pytest.mark.parametrize("text", [MASTER, MASTER + "=", "+/" * 21 + "8=", "-_" * 21 + "8", f" {MASTER}\n"])
def test_a_master_key_in_either_base64(text):
    assert plain(load({name("master_key"): text}), "master_key") == text


def test_networks_are_read_once_checked():
    assert [str(each) for each in networks("10.1.2.3/8, ::1 ,")] == ["10.0.0.0/8", "::1/128"]
    assert networks(" ") == ()


def test_a_sentence_is_ascii_so_that_every_terminal_can_show_it():
    assert re.fullmatch(r"[ -~]+", fault(workers="vier", log_level="laut"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_url_is_taken_as_clouds_print_it(scheme):
    config = load(
        {
            name("database_url"): f"{scheme}://auth:secret@db/auth?sslmode=require",
            name("master_key"): MASTER,
            name("issuer"): "https://as.example",
        }
    )
    assert config.database_url == "postgresql+psycopg://auth:secret@db/auth?sslmode=require"
    assert not config.embedded
