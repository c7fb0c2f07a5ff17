"""What an invocation gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InvokeResult:
    """One answered invocation. Times are microseconds, sizes bytes."""

    status: int
    payload: bytes
    function_error: bool
    error_code: str
    version: str
    request_id: str
    log_tail: str
    duration_us: int
    billed_us: int
    init_us: int
    cpu_us: int
    memory_mib: int
    memory_peak_bytes: int

    @property
    def value(self) -> Any:
        """The payload as a Python value; None if it is empty."""
        return json.loads(self.payload) if self.payload else None

    @property
    def is_cold(self) -> bool:
        """This invocation had an init phase."""
        return self.init_us > 0
