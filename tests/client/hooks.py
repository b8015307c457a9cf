"""How schemathesis sends the bytes of an upload (tus 1.0, and the IETF's resumable uploads)."""

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def offset_bytes(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.serializer("application/partial-upload")
def partial_bytes(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
