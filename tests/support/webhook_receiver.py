"""A receiver of webhooks: keeps what came, and answers as it is told."""

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook

from tests.support.deadlines import wait_until


def _instant(text):
    return datetime.fromtimestamp(int(text), UTC)


@dataclass
class Received:
    """One request: its headers in lower case, and its body as it came."""

    headers: dict
    body: bytes

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def document(self):
        return json.loads(self.body)

    def verified(self, secret):
        """The document, if the verifier of Standard Webhooks accepts it; it raises else."""
        verifier = Webhook(secret)
        verifier._Webhook__verify_timestamp = _instant  # the tests' clock is not the machine's
        return verifier.verify(self.body, self.headers)


class WebhookReceiver:
    """``status`` is what is answered; a callable gets the request and says it."""

    def __init__(self, port=0):
        self.status, self.received, self.headers = 204, [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = Received({name.lower(): value for name, value in self.headers.items()}, body)
                outer.received.append(found)
                status = outer.status(found) if callable(outer.status) else outer.status
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/events"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def wait_for(self, number):
        wait_until(f"{number} webhooks", lambda: len(self.received) >= number)
        return self.received

    def types(self):
        return [each.document["type"] for each in self.received]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
