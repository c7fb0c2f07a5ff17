"""Client of a hako engine: invoke and manage functions over its Unix socket.

    import hako

    with hako.Client() as client:
        client.create_function("greet", runtime="python3.11", handler="app.handler", code="greet/")
        print(client.invoke("greet", {"name": "Ada"}).value)

Only the standard library is needed. The protocol is described in docs/frame-protocol.md.
"""

from .client import Client, InvokeStream, default_socket_path
from .errors import (
    ApiError,
    ConnectionFailed,
    FunctionError,
    HakoError,
    ProtocolError,
    ServiceError,
    ThrottlingError,
)
from .package import make_package
from .result import InvokeResult

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "Client",
    "ConnectionFailed",
    "FunctionError",
    "HakoError",
    "InvokeResult",
    "InvokeStream",
    "ProtocolError",
    "ServiceError",
    "ThrottlingError",
    "default_socket_path",
    "make_package",
]
