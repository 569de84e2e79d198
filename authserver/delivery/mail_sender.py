"""Mails what is due to owners and to the security team, by SMTP, as plain text and HTML in the reader's language."""

import contextlib
import secrets
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from authserver.delivery.mail_texts import text_of
from authserver.ports.events.outbox import Mail, Outbox, Outcome
from authserver.rules.events.backoff import next_wait
from authserver.rules.facts import Instant
from authserver.telemetry.logs import logger

PART: Final = 50
TIMEOUT_SECONDS: Final = 15.0
_PERMANENT: Final = range(500, 600)
_SPREADS: Final = 1000


@dataclass(frozen=True, slots=True, repr=False)
class MailSettings:
    """Where mail is handed in, and who sends it. Has no repr, for it holds a password."""

    host: str
    port: int
    tls: str
    """``starttls``, ``tls`` or ``none``."""
    user: str
    password: str
    sender: str
    security: tuple[str, ...]
    language: str
    console: str
    """The address of the console, which a mail names."""

    @property
    def domain(self) -> str:
        """The domain that ids of messages are in."""
        return self.sender.rpartition("@")[2].rstrip(">")


class MailSender:
    """Hands in what is due, over one connection a round."""

    def __init__(self, outbox: Outbox, settings: MailSettings, context: ssl.SSLContext | None = None) -> None:
        self._outbox, self._settings, self._context = outbox, settings, context
        self._silent_until = 0.0

    def send_due(self, now: Callable[[], Instant]) -> int:
        """Send what is due; how many attempts were made."""
        if time.monotonic() < self._silent_until:
            return 0
        due = self._outbox.due_mail(now(), PART)
        done = 0
        with contextlib.ExitStack() as stack:
            server: smtplib.SMTP | None = None
            for mail in due:
                began = time.monotonic()
                try:
                    server = server or stack.enter_context(self._connected())
                    server.send_message(self._message(mail), self._settings.sender, self._recipients(mail))
                    status, error = 250, ""
                except smtplib.SMTPResponseException as failure:
                    status, error = failure.smtp_code, f"SMTP {failure.smtp_code}"
                except smtplib.SMTPRecipientsRefused as failure:
                    codes = [code for code, _text in failure.recipients.values()]
                    status, error = min(codes), f"SMTP {min(codes)}: recipient refused"
                except (OSError, smtplib.SMTPException) as failure:
                    status, error = 0, f"connection: {type(failure).__name__}"
                self._record(mail, now(), int((time.monotonic() - began) * 1000), status, error)
                done += 1
                if not status:
                    self._silent_until = time.monotonic() + TIMEOUT_SECONDS
                    break
        return done

    def _record(self, mail: Mail, at: Instant, milliseconds: int, status: int, error: str) -> None:
        wait = next_wait(mail.delivery.attempts + 1, secrets.randbelow(_SPREADS) / _SPREADS)
        if not error or status in _PERMANENT:
            wait = None
        next_at = None if wait is None else at + wait
        self._outbox.record(mail.delivery, Outcome(at, milliseconds, status or None, error, not error, next_at))
        if error:
            logger().warning("mail_failed", delivery=mail.delivery.id, reason=error, again=wait is not None)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        mine = self._settings
        context = self._context or ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(mine.host, mine.port, timeout=TIMEOUT_SECONDS, context=context)
            if mine.tls == "tls"
            else smtplib.SMTP(mine.host, mine.port, timeout=TIMEOUT_SECONDS)
        )
        with server:
            if mine.tls == "starttls":
                server.starttls(context=context)
            if mine.user:
                server.login(mine.user, mine.password)
            yield server

    def _recipients(self, mail: Mail) -> list[str]:
        return [mail.address] if mail.address else list(self._settings.security)

    def _message(self, mail: Mail) -> EmailMessage:
        mine = self._settings
        subject, plain, html = text_of(mail.delivery, mail.language or mine.language, mine.console)
        message = EmailMessage()
        message["Subject"], message["From"] = subject, mine.sender
        message["To"] = ", ".join(self._recipients(mail))
        message["Date"] = formatdate(mail.delivery.at)
        message["Message-ID"] = f"<{mail.delivery.id}.{mail.delivery.target.replace(':', '.')}@{mine.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(plain)
        message.add_alternative(html, subtype="html")
        return message
