"""What the clients' scripts share: where the broker is, names that are theirs alone, one line each."""

import contextlib
import os
import sys

URL = os.environ["AMQP_URL"]
CLIENT = os.path.basename(sys.argv[0]).removesuffix("_client.py").replace("_", "-")
NAME = f"foreign-{CLIENT}-{os.getpid()}-"


@contextlib.contextmanager
def can(what):
    """Says that the client can do it, when it could."""
    try:
        yield
    except BaseException:
        print(f"{CLIENT}: {what} FAILED", flush=True)
        raise
    print(f"{CLIENT}: {what}", flush=True)


def holds(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)
