"""Everything that this package raises, besides OSError for local files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import InvokeResult


class HakoError(Exception):
    """Base of all errors of this package."""


class ConnectionFailed(HakoError):
    """The engine cannot be reached, went away, or did not answer in time."""


class ProtocolError(HakoError):
    """The bytes that came break the frame protocol, or the engine refused ours."""


class ApiError(HakoError):
    """The engine answered with an API error: `code` is Lambda's name of it."""

    def __init__(self, status: int, code: str, message: str, body: dict[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.body = body


class ThrottlingError(ApiError):
    """Status 429: a concurrency or rate limit. Safe to try again."""


class ServiceError(ApiError):
    """Status 5xx: not the caller's fault."""


class FunctionError(HakoError):
    """The function ran and failed: its own error, or a timeout, crash or memory limit."""

    def __init__(self, result: InvokeResult) -> None:
        details = _object(result.payload)
        self.error_type = str(details.get("errorType", ""))
        self.message = str(details.get("errorMessage", ""))
        self.stack_trace = details.get("stackTrace") or []
        self.result = result
        super().__init__(f"{self.error_type}: {self.message}" if self.error_type else self.message)


def api_error(status: int, code: str, payload: bytes) -> ApiError:
    """The exception for an answer with status 400 or above."""
    body = _object(payload)
    message = body.get("message") or body.get("Message") or payload.decode("utf-8", "replace")
    kind = ThrottlingError if status == 429 else ServiceError if status >= 500 else ApiError
    return kind(status, code or f"Status{status}", str(message), body)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
