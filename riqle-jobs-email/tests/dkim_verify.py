"""Verifies DKIM signatures with dkimpy, for tests/real_dkim.rs.

`dkim_verify.py RECORD TXT`: the message comes by standard input; prints `valid` or `invalid`. RECORD is the one name in DNS,
TXT what stands there.
"""

import sys

try:
    import dkim
    import nacl  # noqa: F401, dkimpy takes it for Ed25519
except ImportError:
    sys.exit("pip install dkimpy pynacl")

record, text = sys.argv[1].encode(), sys.argv[2].encode()


def dns(name, timeout=5):
    return text if name.rstrip(b".") == record else None


print("valid" if dkim.verify(sys.stdin.buffer.read(), dnsfunc=dns) else "invalid")
