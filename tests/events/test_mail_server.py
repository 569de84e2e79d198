"""Mail to a real SMTP server, by TLS and with a password: what is not as the settings say is sent nothing."""

import socket
import ssl
from contextlib import contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import ValidationError

from authserver.actions import credentials
from authserver.actions.events import mail
from authserver.config import Config
from authserver.delivery.mail_sender import MailSender, MailSettings
from authserver.rules.events.mail import OWNERS
from tests.support.server_certificates import certificate_file
from tests.support.servers import free_port

USER, PASSWORD = "authserver", "correct horse"


class Server:
    """What was signed in with and handed in, and how the connection was."""

    def __init__(self):
        self.signed_in, self.mails, self.password = [], [], PASSWORD

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
                           bool(session.authenticated), envelope.rcpt_tos))  # fmt: skip
        return "250 OK"

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        assert isinstance(data, LoginPassword)
        self.signed_in.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == self.password, handled=False)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate for localhost: the context of who has it, and of who trusts it."""
    file = certificate_file("localhost", tmp_path_factory.mktemp("tls"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)


@contextmanager
def listening(server, kind, context):
    """A server by ``kind``: ``tls`` from the first byte, ``starttls`` demanded, or ``none`` offered."""
    options = {
        "tls": {"ssl_context": context, "auth_require_tls": False},
        "starttls": {"tls_context": context, "require_starttls": True, "auth_required": True},
        "none": {"auth_require_tls": False},
    }[kind]
    controller = Controller(
        server, hostname="127.0.0.1", port=free_port(), authenticator=server.authenticate, **options
    )
    # It calls itself when it starts, by TLS with the context of a server, which no longer works.
    controller._trigger_server = lambda: socket.create_connection(("127.0.0.1", controller.port)).close()
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def mailing(telling):
    """One mail is due, and nodes that send it: port, ``tls``, host, context -> what became of it."""
    world = telling.world
    mail.set_address(world.accounts, "ada", "ada@example.com", **world.who)
    telling.rounds.mail = OWNERS
    telling.round()
    credentials.regenerate(world.accounts, telling.client[0], 0, pepper=world.store.pepper, **world.who)

    def send(port, tls, *, host="localhost", context=None, user=USER):
        settings = MailSettings(
            *(host, port, tls, user, PASSWORD if user else "", "authserver@example.com", (), "en"), console="https://x"
        )
        telling.rounds.mailer = MailSender(world.store.outbox, settings, context)
        telling.round(3600)  # behind every wait of the first attempts
        found = world.store.outbox.due_mail(world.clock.at + 86400, 5)
        return found[0].delivery.last_error if found else ""

    yield send
    telling.rounds.mail, telling.rounds.mailer = 0, None
    telling.round(40 * 86400)
    world.store.outbox.forget(world.clock.at, 1000)
    mail.set_address(world.accounts, "ada", None, **world.who)


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_a_mail_is_handed_in_encrypted_and_signed_in(mailing, tls, kind):
    server = Server()
    with listening(server, kind, tls[0]) as port:
        assert mailing(port, kind, context=tls[1]) == ""
    assert server.mails == [(True, True, ["ada@example.com"])]
    assert server.signed_in == [(USER, PASSWORD)]


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_a_certificate_that_is_not_trusted_or_of_another_name_gets_no_password_and_the_mail_waits(mailing, tls, kind):
    server = Server()
    with listening(server, kind, tls[0]) as port:
        assert mailing(port, kind).startswith("certificate: ")
        assert mailing(port, kind, host="127.0.0.1", context=tls[1]).startswith("certificate: ")
        assert (server.signed_in, server.mails) == ([], [])
        assert mailing(port, kind, context=tls[1]) == ""
    assert len(server.mails) == 1


def test_a_server_that_offers_no_encryption_gets_no_password_and_the_mail_waits(mailing, tls):
    server = Server()
    with listening(server, "none", None) as port:
        assert "no STARTTLS" in mailing(port, "starttls", context=tls[1])
        assert mailing(port, "tls", context=tls[1]).startswith("connection: SSL")
        assert (server.signed_in, server.mails) == ([], [])
        assert mailing(port, "none") == ""  # and no password where nothing is encrypted
    assert server.mails == [(False, False, ["ada@example.com"])]
    assert server.signed_in == []


def test_a_password_that_is_refused_loses_no_mail(mailing, tls):
    server = Server()
    server.password = "changed meanwhile"
    with listening(server, "starttls", tls[0]) as port:
        assert mailing(port, "starttls", context=tls[1]) == "SMTP 535: user or password refused"
        server.password = PASSWORD
        assert mailing(port, "starttls", context=tls[1]) == ""
    assert len(server.mails) == 1


def test_a_password_without_encryption_is_no_configuration():
    with pytest.raises(ValidationError, match="not sent in the clear"):
        Config(smtp_server="x.example.com:25", mail_from="a@b.de", smtp_tls="none", smtp_user="u", smtp_password="p")
