"""Schemathesis finds nothing: right, wrong and chained requests, drawn from the document by somebody else's tool.

CI makes a short run with one seed. ``make fuzz`` draws anew, for longer, and tries every boundary of every schema.
"""

import os
import random
import sys

from tests.support import schemathesis_run

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def seed_of_run():
    return int(os.environ.get("FUZZ_SEED") or random.SystemRandom().getrandbits(32))


def test_no_request_gets_an_answer_that_the_document_does_not_have(world):
    seed = seed_of_run() if EXAMPLES else schemathesis_run.SEED
    found, answers = schemathesis_run.run(
        world, examples=EXAMPLES or 2, steps=EXAMPLES or 4, coverage=bool(EXAMPLES), seed=seed
    )
    if EXAMPLES:
        sys.stderr.write(f"\nFUZZ_SEED={seed}: {sum(answers.values())} requests, {dict(sorted(answers.items()))}\n")
    assert not found, "\n\n".join([f"seed {seed}", *(f"{title}\n{text}" for title, text in sorted(found.items()))])
    assert {200, 201, 400, 404, 428} <= set(answers)
