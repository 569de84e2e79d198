"""What was done to a key, as a signed text that proves itself without the server: ``python -m keys.report``.

A report is a JWS (RFC 7515) of type ``key-report+jwt``, signed by the key that took
over. The file also shows that key, so that anybody can check the signature; whether the
key is the right one is checked against a JWKS that was kept beforehand or is fetched now.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from keys.signing import TokenReader, TokenSigner

TYPE = "key-report+jwt"
_MOST_BYTES = 1024 * 1024


class BadReport(ValueError):
    """Not a report, altered, or signed by another key; the text names the fault."""


def write(claims: Mapping[str, Any], signer: TokenSigner, public_jwk: Mapping[str, Any]) -> str:
    """The text of the file."""
    return json.dumps({"report": signer.sign(claims, TYPE), "key": dict(public_jwk)}, indent=2) + "\n"


def read(text: str, trusted: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[str, Mapping[str, Any]]:
    """The ``kid`` that signed a report, and its claims.

    Args:
        text: the file.
        trusted: public JWKs by ``kid`` that may have signed it; None for the one in the file.

    Raises:
        BadReport: it is none, was altered, or is signed by a key that is not among the trusted.
    """
    try:
        document = json.loads(text)
        signed, shown = str(document["report"]), dict(document["key"])
        reader = TokenReader({str(shown["kid"]): shown} if trusted is None else trusted)
    except (ValueError, TypeError, KeyError) as error:
        msg = "this is no report of a key"
        raise BadReport(msg) from error
    kid = reader.peek_kid(signed)
    if kid is None or kid not in reader:
        msg = f"the report is signed by {kid}, which is not in the JWKS given"
        raise BadReport(msg)
    found = reader.read(signed, TYPE)
    if found is None:
        msg = "the report was altered: its signature does not fit"
        raise BadReport(msg)
    return found


def trusted_by(text: str) -> dict[str, dict[str, Any]]:
    """Public JWKs by ``kid`` of the text of a JWKS.

    Raises:
        BadReport: it is none.
    """
    try:
        return {str(key["kid"]): dict(key) for key in json.loads(text)["keys"]}
    except (ValueError, TypeError, KeyError) as error:
        msg = "this is no JWKS (RFC 7517 §5)"
        raise BadReport(msg) from error


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Check one file; the exit code: 0 it holds, 1 it does not, 2 it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m keys.report", description="Check the report of a key, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--jwks", type=Path, help="a JWKS that was kept or fetched; else the key in the file is used")
    options = parser.parse_args(arguments)
    try:
        texts = [path.read_bytes()[:_MOST_BYTES].decode() for path in (options.file, options.jwks) if path]
        kid, claims = read(texts[0], trusted_by(texts[1]) if len(texts) > 1 else None)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"cannot read it: {error}\n")
        return 2
    except BadReport as error:
        sys.stderr.write(f"{error}\n")
        return 1
    out.write(json.dumps({"signed_by": kid, "trusted": len(texts) > 1, **claims}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
