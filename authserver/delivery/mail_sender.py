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
from authserver.http_client import trusted
from authserver.ports.events.outbox import Mail, Outbox, Outcome
from authserver.rules.events.backoff import next_wait
from authserver.rules.facts import Instant
from authserver.telemetry.logs import logger

PART: Final = 50
TIMEOUT_SECONDS: Final = 15.0
_TAKEN: Final = 250
_PERMANENT: Final = range(500, 600)
"""Of one mail. What the server says of the connection itself is mended by its operator, so each mail waits for that."""

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
                except (OSError, smtplib.SMTPException) as failure:
                    status, error = 0, _why_not_connected(failure)
                else:
                    status, error = self._handed_in(server, mail)
                self._record(mail, now(), int((time.monotonic() - began) * 1000), status, error)
                done += 1
                if not status:
                    self._silent_until = time.monotonic() + TIMEOUT_SECONDS
                    break
        return done

    def _handed_in(self, server: smtplib.SMTP, mail: Mail) -> tuple[int, str]:
        """Status and error of one mail; the status is 0 where the connection broke."""
        try:
            server.send_message(self._message(mail), self._settings.sender, self._recipients(mail))
        except smtplib.SMTPResponseException as failure:
            return failure.smtp_code, f"SMTP {failure.smtp_code}"
        except smtplib.SMTPRecipientsRefused as failure:
            code = min(code for code, _text in failure.recipients.values())
            return code, f"SMTP {code}: recipient refused"
        except (OSError, smtplib.SMTPException) as failure:
            return 0, f"connection: {type(failure).__name__}"
        return _TAKEN, ""

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
        """A connection that is encrypted and signed in as the settings say, or none at all."""
        mine = self._settings
        context = self._context or trusted()
        server = (
            smtplib.SMTP_SSL(mine.host, mine.port, timeout=TIMEOUT_SECONDS, context=context)
            if mine.tls == "tls"
            else smtplib.SMTP(mine.host, mine.port, timeout=TIMEOUT_SECONDS)
        )
        try:
            if mine.tls == "starttls":
                server.starttls(context=context)
            if mine.user and mine.tls != "none":  # the configuration refuses a password in the clear
                server.login(mine.user, mine.password)
            yield server
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()

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


def _why_not_connected(failure: Exception) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"certificate: {failure.verify_message}"[:200]
    if isinstance(failure, smtplib.SMTPAuthenticationError):
        return f"SMTP {failure.smtp_code}: user or password refused"
    if isinstance(failure, smtplib.SMTPNotSupportedError):
        return "the server offers no STARTTLS, or no way to sign in"
    code = f" {failure.smtp_code}" if isinstance(failure, smtplib.SMTPResponseException) else ""
    return f"connection: {type(failure).__name__}{code}"
