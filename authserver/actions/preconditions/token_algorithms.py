"""Which signing algorithms a setting or a resource server may choose; shared by two actions."""

from authserver.ports.errors import Conflict, Invalid
from authserver.ports.transaction import Transaction
from keys.keyring import ALGORITHMS, POST_QUANTUM


def require_usable_algorithm(tx: Transaction, alg: str) -> None:
    """Refuse an algorithm without an active key (INV-13), and a post-quantum one that was not opted in to."""
    if alg not in (*ALGORITHMS, *POST_QUANTUM):
        msg = f"an algorithm is one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
        raise Invalid(msg)
    if alg in POST_QUANTUM and not tx.general().post_quantum:
        msg = f"{alg} is published apart, where few verifiers look; `flask settings set post_quantum 1` opts in"
        raise Conflict(msg)
    if alg not in tx.algorithms_ready():
        msg = f"no key signs {alg} yet; `flask keys rotate --alg {alg}` makes one first"
        raise Conflict(msg)
