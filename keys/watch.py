"""Polls the JWKS of one or many nodes and checks that a rotation was safe: ``python -m keys.watch``.

Works with any server. It polls each JWKS, reads tokens, and finds

- ``too_early``: a token signed by a key that had been published for less than the window;
- ``too_late``: a key withdrawn while a token it signed has not ended;
- ``disagree``: nodes that show different keys for longer than the grace;
- ``unknown_key``: a token signed by a key that no node shows;
- ``bad_signature``: a token that its own key does not verify;
- ``bad_set``: private members, one ``kid`` twice, a ``kid`` that changed its key, a key without ``alg``;
- ``unreachable``: a node that did not answer for longer than the grace.

A key in the first JWKS of a node counts as published for ever, since its first instant is unknown.
"""

import argparse
import base64
import contextlib
import json
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import jwt

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA")
_TIMEOUT_SECONDS = 5
_MAX_BYTES = 1024 * 1024
_MAX_TOKEN_LENGTH = 64 * 1024
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, with the evidence for it; ``at`` in seconds of UTC."""

    fault: str
    at: float
    node: str
    kid: str
    evidence: str


@dataclass(slots=True)
class _Node:
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)
    """For each key in the JWKS, the last fetch that did not have it: it was published at some instant after that."""
    fetched_at: float | None = None
    failing_since: float | None = None


@dataclass(frozen=True, slots=True)
class _SeenToken:
    kid: str
    issued_at: float
    expires_at: float
    subject: str


class Watch:
    """Checks JWKS and tokens; does no I/O and reads no clock.

    Args:
        window: seconds a key must be published before it signs.
        grace: seconds nodes may differ or be away.
    """

    def __init__(self, *, window: float, grace: float) -> None:
        self._window, self._grace = window, grace
        self._nodes: dict[str, _Node] = {}
        self._known: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, _SeenToken] = {}
        self._reported: set[tuple[str, str, str]] = set()
        self._differ_since: float | None = None
        self.findings: list[Finding] = []
        self.fetches = self.tokens = 0

    def record_jwks(self, node: str, document: object, at: float, requested_at: float | None = None) -> None:
        """Check one response of one node, requested at ``requested_at`` and received at ``at``."""
        self.fetches += 1
        state = self._nodes.setdefault(node, _Node())
        keys = self._read_keys(node, document, at)
        for kid, key in keys.items():
            if kid not in state.not_before:
                state.not_before[kid] = float("-inf") if state.fetched_at is None else state.fetched_at
            known = self._known.setdefault(kid, key)
            if known != key:
                self._add_finding("bad_set", at, node, kid, "the key behind this kid has changed")
        for kid in state.keys.keys() - keys.keys():
            self._check_withdrawal(node, kid, at)
            del state.not_before[kid]
        state.keys, state.failing_since = keys, None
        # A key that the answer lacks was not published at the request; about later instants it says nothing.
        state.fetched_at = at if requested_at is None else requested_at

    def record_failure(self, node: str, why: str, at: float) -> None:
        """Record that a node did not answer."""
        state = self._nodes.setdefault(node, _Node())
        if state.failing_since is None:
            state.failing_since = at
        if at - state.failing_since > self._grace:
            self._add_finding("unreachable", at, node, "", f"no answer for {at - state.failing_since:.0f} s: {why}")

    def compare_nodes(self, at: float) -> None:
        """Compare the nodes after each was fetched once."""
        sets = {frozenset(state.keys) for state in self._nodes.values() if state.fetched_at is not None}
        if len(sets) < 2:  # noqa: PLR2004 - it takes two to differ
            self._differ_since = None
            return
        if self._differ_since is None:
            self._differ_since = at
        if at - self._differ_since > self._grace:
            shown = {name: sorted(state.keys) for name, state in self._nodes.items()}
            self._add_finding("disagree", at, "", "", f"for {at - self._differ_since:.0f} s: {json.dumps(shown)}")

    def check_token(self, text: str, at: float) -> None:
        """Check one token: its signature, and how long its key had been published when it was issued."""
        self.tokens += 1
        try:
            header = jwt.get_unverified_header(text)
            kid = str(header.get("kid", ""))
            key = self._known.get(kid)
            if key is None or not any(kid in state.keys for state in self._nodes.values()):
                self._add_finding("unknown_key", at, "", kid, f"no node shows the key of token {_abbreviated(text)}")
                return
            alg = str(key.get("alg", header.get("alg", "")))
            claims = jwt.decode(
                text,
                jwt.PyJWK(dict(key), algorithm=alg).key,
                algorithms=[alg],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            seen = _SeenToken(
                kid, float(claims["iat"]), float(claims["exp"]), str(claims.get("jti", _abbreviated(text)))
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            self._add_finding("bad_signature", at, "", "", f"token {_abbreviated(text)}: {type(error).__name__}")
            return
        self._tokens[text] = seen
        for name, state in self._nodes.items():
            if state.fetched_at is None:
                continue
            published = state.not_before.get(kid)
            if published is None:
                if at - seen.issued_at < self._grace:
                    continue
                self._add_finding("too_early", at, name, kid, f"token {seen.subject}: this node does not show its key")
            elif seen.issued_at - published < self._window:
                age = max(0.0, seen.issued_at - published)
                text = f"token {seen.subject}: its key was {age:.0f} s old here at most"
                self._add_finding("too_early", at, name, kid, text)

    def forget_ended(self, at: float) -> None:
        """Drop tokens that have ended: the withdrawal of their key is no fault any more."""
        self._tokens = {text: seen for text, seen in self._tokens.items() if seen.expires_at > at}

    def _check_withdrawal(self, node: str, kid: str, at: float) -> None:
        live_tokens = [seen for seen in self._tokens.values() if seen.kid == kid and seen.expires_at > at]
        if live_tokens:
            last_end = max(seen.expires_at for seen in live_tokens)
            self._add_finding(
                "too_late", at, node, kid, f"{len(live_tokens)} tokens live on, the last for {last_end - at:.0f} s"
            )

    def _read_keys(self, node: str, document: object, at: float) -> dict[str, dict[str, Any]]:
        keys: dict[str, dict[str, Any]] = {}
        jwks = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(jwks, list):
            self._add_finding("bad_set", at, node, "", "no JWKS: there is no array named keys (RFC 7517 §5)")
            return keys
        for key in jwks:
            if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
                self._add_finding("bad_set", at, node, "", "a key has no kid")
                continue
            kid = key["kid"]
            if kid in keys:
                self._add_finding("bad_set", at, node, kid, "the kid occurs twice")
            if private := PRIVATE_MEMBERS & key.keys():
                self._add_finding(
                    "bad_set", at, node, kid, f"private members are published: {', '.join(sorted(private))}"
                )
            if not key.get("alg"):
                self._add_finding("bad_set", at, node, kid, "the key has no alg")
            keys[kid] = key
        return keys

    def _add_finding(self, fault: str, at: float, node: str, kid: str, evidence: str) -> None:
        identity = (fault, node, kid)
        if identity not in self._reported:
            self._reported.add(identity)
            self.findings.append(Finding(fault, at, node, kid, evidence))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


def fetch(url: str) -> object:
    """Fetch one JWKS document, bypassing caches.

    Raises:
        OSError: no answer.
        ValueError: no JSON.
    """
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(  # noqa: S310 - main() allows http and https only
        url, headers={"Accept": "application/jwk-set+json, application/json", "Cache-Control": "no-cache"}
    )
    with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
        return json.loads(response.read(_MAX_BYTES))


def watch(
    urls: Sequence[str],
    tokens: Iterable[str],
    *,
    window: float,
    interval: float,
    grace: float,
    seconds: float | None,
    report: Callable[[Finding], None],
    fetch_jwks: Callable[[str], object] = fetch,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Watch:
    """Poll ``urls`` and read ``tokens`` until ``seconds`` are over; None: without end.

    Args:
        urls: addresses of JWKS documents.
        tokens: compact tokens as they arrive; read on a thread of its own.
        window: seconds a key must be published before it signs.
        interval: seconds between two fetches.
        grace: seconds nodes may differ or be away.
        seconds: how long to watch.
        report: called once for each finding.
        fetch_jwks: fetches a document.
        clock: seconds of UTC.
        sleep: waits.
    """
    monitor = Watch(window=window, grace=grace)
    token_queue: queue.SimpleQueue[str] = queue.SimpleQueue()
    reader = threading.Thread(target=_read_tokens, args=(tokens, token_queue), daemon=True)
    end = None if seconds is None else clock() + seconds
    reported = 0
    reader.start()
    while True:
        for url in urls:
            requested_at = clock()
            try:
                document = fetch_jwks(url)
            except (OSError, ValueError) as error:
                monitor.record_failure(url, str(error), clock())
            else:
                monitor.record_jwks(url, document, clock(), requested_at)
        monitor.compare_nodes(clock())
        while not token_queue.empty():
            monitor.check_token(token_queue.get(), clock())
        monitor.forget_ended(clock())
        for finding in monitor.findings[reported:]:
            report(finding)
        reported = len(monitor.findings)
        if end is not None and clock() >= end:
            return monitor
        sleep(interval)


def _read_tokens(tokens: Iterable[str], token_queue: queue.SimpleQueue[str]) -> None:
    for line in tokens:
        text = line.strip()
        if text and len(text) <= _MAX_TOKEN_LENGTH:
            token_queue.put(text)


def _open_file(path: str) -> contextlib.AbstractContextManager[TextIO]:
    return Path(path).open(encoding="utf-8")


def _abbreviated(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "replace")[-9:]).decode()


def _duration(text: str) -> float:
    unit = _UNITS.get(text[-1:])
    number = text[:-1] if unit else text
    try:
        return float(number) * (unit or 1)
    except ValueError:
        msg = f"{text!r} is no time; write for example 90s, 10m, 24h or 2d"
        raise argparse.ArgumentTypeError(msg) from None


def _url(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        msg = f"{text!r} is no http or https address"
        raise argparse.ArgumentTypeError(msg)
    return text if "jwks" in text or text.endswith(".json") else f"{text.rstrip('/')}/.well-known/jwks.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m keys.watch",
        description="Watch the JWKS of one or many nodes and prove that no rotation broke a verifier.",
        epilog="Exit code: 0 nothing found, 1 faults found, 2 wrong usage, 3 nothing could be observed. "
        "Example: python -m keys.watch https://a.example.com https://b.example.com --tokens - --for 2h",
    )
    parser.add_argument("urls", nargs="+", type=_url, metavar="URL", help="address of a server or of its JWKS")
    parser.add_argument("--tokens", metavar="FILE", help="file with one token a line; - is standard input")
    parser.add_argument("--window", type=_duration, default="24h", help="time a key is published before it signs (24h)")
    parser.add_argument("--interval", type=_duration, default="5s", help="time between two fetches (5s)")
    parser.add_argument("--grace", type=_duration, default="10s", help="time nodes may differ or be away (10s)")
    parser.add_argument("--for", dest="seconds", type=_duration, help="how long to watch; for ever when left out")
    parser.add_argument("--json", action="store_true", help="one JSON object per finding, and one at the end")
    return parser


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)

    def report(finding: Finding) -> None:
        members = asdict(finding)
        text = json.dumps(members) if options.json else "{fault}  {node}  {kid}  {evidence}".format(**members)
        out.write(text + "\n")
        out.flush()

    source = contextlib.nullcontext(sys.stdin) if options.tokens == "-" else _open_file(options.tokens or os.devnull)
    try:
        with source as tokens:
            monitor = watch(
                options.urls,
                tokens,
                window=options.window,
                interval=options.interval,
                grace=options.grace,
                seconds=options.seconds,
                report=report,
            )
    except OSError as error:
        sys.stderr.write(f"cannot read {options.tokens}: {error.strerror}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    summary = {"fetches": monitor.fetches, "tokens": monitor.tokens, "findings": len(monitor.findings)}
    out.write(
        (
            json.dumps(summary)
            if options.json
            else "{fetches} fetches, {tokens} tokens, {findings} findings".format(**summary)
        )
        + "\n"
    )
    if not monitor.fetches:
        return 3
    return 1 if monitor.findings else 0


if __name__ == "__main__":
    sys.exit(main())
