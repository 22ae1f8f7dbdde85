"""How real services word their failures: a small table for each kind of fault, drawn from by a case's seed.

    wording(FaultKind.TRANSIENT, 1, tool="get_weather")   # the same text for ever

The tables only grow at their end in a new version of a suite: a seed's wording is part of the case's hash. Knows no
case and no tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.suites.case import FaultKind

_HTML = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"

# `%tool%` and `%field%` stand for the names; without a field a permission or a missing thing is told by the tool alone.
WORDINGS: Mapping[FaultKind, Sequence[str]] = {
    FaultKind.VALIDATION: (
        '{"error": {"type": "validation_error", "field": "%field%", "message": "%field% is not valid"}}',
        '{"detail": [{"loc": ["body", "%field%"], "msg": "value is not accepted", "type": "value_error"}]}',
        '{"status": 422, "title": "Unprocessable Entity", "errors": {"%field%": ["is not an accepted value"]}}',
        "400 Bad Request: parameter '%field%' of %tool% was rejected",
        '{"code": "INVALID_ARGUMENT", "message": "%tool%: invalid value for %field%", "retryable": false}',
    ),
    FaultKind.NOT_FOUND: (
        '{"error": {"type": "not_found", "message": "no such record"}}',
        '{"status": 404, "title": "Not Found", "detail": "%tool%: the requested resource does not exist"}',
        '{"detail": "Not found."}',
        "404 Not Found: nothing matches this request",
        '{"code": "RESOURCE_NOT_FOUND", "message": "%tool% found nothing under this identifier", "results": []}',
    ),
    FaultKind.TRANSIENT: (
        '{"error": {"type": "unavailable", "message": "the service is temporarily unavailable, try again"}}',
        '{"status": 429, "title": "Too Many Requests", "retry_after_seconds": 1}',
        '{"error": {"code": 503, "message": "%tool%: upstream overloaded", "retryable": true}}',
        "503 Service Unavailable: please retry",
        '{"code": "RATE_LIMITED", "message": "rate limit exceeded for %tool%; retry in 2 seconds"}',
    ),
    FaultKind.TIMEOUT: (
        '{"error": {"type": "timeout", "message": "no answer within 30 seconds"}}',
        '{"status": 504, "title": "Gateway Timeout", "detail": "%tool% did not respond in time"}',
        "%tool%: the request timed out after 10000 ms",
        '{"code": "DEADLINE_EXCEEDED", "message": "deadline exceeded while waiting for %tool%"}',
        "ETIMEDOUT: connection timed out",
    ),
    FaultKind.PERMISSION: (
        '{"error": {"type": "permission_denied", "message": "this account may not use %tool%"}}',
        '{"status": 403, "title": "Forbidden", "detail": "the token lacks the permission for %tool%"}',
        "403 Forbidden: you are not allowed to do this",
        '{"code": "PERMISSION_DENIED", "message": "caller does not have permission to call %tool%"}',
        '{"error": {"code": 403, "message": "access denied by policy; ask an administrator", "retryable": false}}',
    ),
    FaultKind.MALFORMED: (
        '{"status": "ok", "data": {"',
        _HTML,
        '{"result": [{"id": 1, "val',
        "\ufffd\ufffdx\ufffdK\ufffd\ufffd7\ufffd",
        '"status":"ok","result":',
    ),
}


def wording(kind: FaultKind, seed: int, *, tool: str, field: str | None = None) -> str:
    """What the model is shown in place of a result; a validation error has to name the `field`."""
    texts = WORDINGS[kind]
    return texts[seed % len(texts)].replace("%tool%", tool).replace("%field%", field or "")
