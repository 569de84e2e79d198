"""The server with a bug on purpose: roles and role version are read in two statements. Only to prove the checker."""

import sys
import time

from app import main
from authserver.store.tokens.hot_path import SqlHotPathReads

unchanged = SqlHotPathReads.issue_facts


def broken(self, client_id, resource):
    first = unchanged(self, client_id, resource)
    if first is None:
        return None
    time.sleep(0.01)
    second = unchanged(self, client_id, resource)
    return second._replace(held=first.held)


if __name__ == "__main__":
    SqlHotPathReads.issue_facts = broken  # type: ignore[method-assign]
    sys.exit(main())
