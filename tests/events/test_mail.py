"""Mail about events: to owners and the security team, in both languages, through a real SMTP server."""

from email import policy
from email.parser import BytesParser

import pytest
from aiosmtpd.controller import Controller

from authserver.actions import credentials
from authserver.actions.events import mail
from authserver.delivery.mail_sender import MailSender, MailSettings
from authserver.delivery.mail_texts import LANGUAGES, text_of
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.events.webhooks import Delivery
from authserver.ports.sign_in import Preferences
from authserver.rules.events.mail import OWNER_TYPES, OWNERS, SECURITY, SECURITY_TYPES
from tests.support.servers import free_port
from tests.support.shell import Shell


class Mailbox:
    """Keeps what is handed in; ``refusal`` is answered instead of taking it."""

    def __init__(self):
        self.mails, self.refusal = [], ""

    async def handle_DATA(self, _server, _session, envelope):
        if self.refusal:
            return self.refusal
        message = BytesParser(policy=policy.default).parsebytes(envelope.content)
        self.mails.append((envelope.rcpt_tos, message))
        return "250 OK"


@pytest.fixture(scope="module")
def server():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture
def mailing(telling, server):
    """A node that mails; what came, by its round."""
    box, port = server
    box.mails.clear()
    box.refusal = ""
    settings = MailSettings(
        *("127.0.0.1", port, "none", "", "", "authserver@example.com", ("sec@example.com",), "en"),
        console="https://auth.example.com/console",
    )
    telling.rounds.mailer, telling.rounds.mail = MailSender(telling.world.store.outbox, settings), OWNERS | SECURITY
    mail.set_address(telling.world.accounts, "ada", "ada@example.com", **telling.world.who)
    telling.round()
    yield box
    telling.rounds.mail, telling.rounds.mailer = 0, None
    telling.round(40 * 86400)
    telling.world.store.outbox.forget(telling.world.clock.at, 1000)
    mail.set_address(telling.world.accounts, "ada", None, **telling.world.who)


def regenerate(telling):
    world = telling.world
    credentials.regenerate(world.accounts, telling.client[0], 0, pepper=world.store.pepper, **world.who)


def test_the_owner_is_mailed_plain_and_html_in_the_language_chosen(telling, mailing):
    world = telling.world
    regenerate(telling)
    telling.round()
    user = world.accounts.user("ada")
    world.store.sign_ins.set_preferences(user.id, Preferences(language="de"))
    regenerate(telling)
    telling.round()
    (to, first), (_, second) = mailing.mails
    assert to == ["ada@example.com"]
    assert "has a new secret" in first["Subject"]
    assert "neues Geheimnis" in second["Subject"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] != second["Message-ID"]
    for language, message in (("en", first), ("de", second)):
        plain, html = message.get_body(("plain",)).get_content(), message.get_body(("html",)).get_content()
        assert telling.client[0] in plain
        assert f'<html lang="{language}">' in html
        assert "href" not in html
        assert "acs_" not in plain + html
    world.store.sign_ins.set_preferences(user.id, Preferences(language="en"))


def test_the_security_team_is_mailed_what_concerns_it(telling, mailing):
    from authserver.rules.events.catalogue import chain_event

    telling.world.store.outbox.raise_events([chain_event(7, "was altered", telling.world.clock.at)])
    telling.round()
    ((to, message),) = mailing.mails
    assert to == ["sec@example.com"]
    assert "7" in message.get_body(("plain",)).get_content()


def test_a_server_that_refuses_for_now_is_asked_again_and_for_good_is_not(telling, mailing):
    mailing.refusal = "451 later"
    regenerate(telling)
    telling.round()
    mailing.refusal = ""
    telling.round(10)
    assert len(mailing.mails) == 1
    mailing.refusal = "550 never"
    regenerate(telling)
    telling.round()
    mailing.refusal = ""
    telling.round(86400)
    assert len(mailing.mails) == 1


def test_nobody_is_mailed_without_an_address_and_a_secret_of_a_name_stays_inside(telling, mailing):
    world = telling.world
    mail.set_address(world.accounts, "ada", None, **world.who)
    regenerate(telling)
    telling.round()
    assert mailing.mails == []
    with pytest.raises(Conflict):
        mail.set_address(world.accounts, "ada", None, **world.who)
    mail.set_address(world.accounts, "ada", "ada@example.com", **world.who)
    assert "example.com" not in world.accounts.audit_newest(1)[0].detail


@pytest.mark.parametrize("text", ["", "x", "a@b@c", "a b@c.de", "a@b\nBcc: x@y.z", "a@..b", "ä@b.de", "a@" + "b" * 300])
def test_an_address_that_cannot_be_is_refused(telling, text):
    with pytest.raises(Invalid):
        mail.set_address(telling.world.accounts, "ada", text, **telling.world.who)


def test_the_command_line_sets_it(telling):
    shell = Shell(telling.world.app)
    assert shell("users", "email", "root", "root@example.com").code == 0
    assert telling.world.store.outbox.address(telling.world.accounts.user("root").id) == "root@example.com"
    assert shell("users", "email", "root", "--remove").code == 0
    assert shell("users", "email", "root").code == 2
    assert shell("users", "email", "nobody", "a@b.de").code == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_type_that_is_mailed_has_its_text(language):
    for told in OWNER_TYPES | SECURITY_TYPES:
        delivery = Delivery(
            *("mail:security", 1, "evt_1", told, "x", 1_800_000_000, "pending", 0, None, None, None, ""),
            data='{"name":"<b>\\r\\nBcc: x","client_id":"c"}',
        )
        subject, plain, html = text_of(delivery, language, "https://auth.example.com/console")
        assert subject.isprintable()
        assert plain
        assert "<b>" not in html
