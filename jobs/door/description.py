"""The door's OpenAPI description, and a page of it that needs no script and nobody else's server."""

from html import escape
from typing import Any

Schema = dict[str, Any]

_JSON = "application/json"
_ERROR: Schema = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}
_REASONS = {
    400: "The body or query cannot be read",
    401: "Unknown key or address, or a wrong signature",
    403: "The key may not be used for this, or not from this origin",
    408: "The request did not arrive in time",
    413: "Too large, as sent or decompressed",
    429: "Too many requests; see Retry-After",
    503: "Not stored; send it again after Retry-After",
}


def _errors(*statuses: int) -> Schema:
    return {
        str(status): {"description": _REASONS[status], "content": {_JSON: {"schema": _ERROR}}} for status in statuses
    }


UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: _errors(503)["503"]}


def with_hot_routes(schema: Schema) -> Schema:
    """The schema with the routes that FastAPI does not know of."""
    schema["paths"] = _hot_paths() | schema["paths"]
    schema.setdefault("components", {})["securitySchemes"] = {
        "writeKey": {"type": "http", "scheme": "basic", "description": "The key as user name, no password"},
        "projectToken": {"type": "http", "scheme": "bearer"},
    }
    return schema


def with_api(schema: Schema, api: Schema) -> Schema:
    """The schema with the routes of the API, which a process of its own describes."""
    key: list[Schema] = [{"serverKey": []}]
    paths = {
        path: {method: {**operation, "security": key} for method, operation in methods.items()}
        for path, methods in api.get("paths", {}).items()
    }
    components = schema.get("components", {})
    schemas = {**components.get("schemas", {}), **api.get("components", {}).get("schemas", {})}
    named = {**components.get("securitySchemes", {}), "serverKey": {"type": "http", "scheme": "bearer"}}
    return {
        **schema,
        "paths": {**schema["paths"], **paths},
        "components": {**components, "schemas": schemas, "securitySchemes": named},
    }


def _hot_paths() -> Schema:
    return {
        "/hooks/{source}/{key}": {"post": _hook()},
        **{
            f"/v1/{name}": {"post": _segment(name)}
            for name in (*"track identify page screen group alias".split(), *"tipsga")
        },
        **{f"/v1/{name}": {"post": _segment_batch(name)} for name in ("batch", "b", "import")},
        **{
            f"{path}{slash}": {"get": _capture_get(), "post": _capture()}
            for path in ("/batch", "/capture", "/e", "/track", "/engage", "/i/v0/e")
            for slash in ("/", "")
        },
        **{f"/i/v1/analytics/events{slash}": {"post": _capture_v1()} for slash in ("/", "")},
        **{f"{path}/": {"get": _flags(), "post": _flags()} for path in ("/flags", "/decide")},
    }


def _operation(tag: str, summary: str, answer: Schema, statuses: tuple[int, ...], **more: Any) -> Schema:
    ok = {"200": {"description": "Stored", "content": {_JSON: {"schema": answer}}}}
    return {"tags": [tag], "summary": summary, "responses": ok | _errors(*statuses), **more}


def _body(schema: Schema, *types: str) -> Schema:
    return {"required": True, "content": {media: {"schema": schema} for media in (_JSON, *types)}}


def _constant(name: str, value: Any) -> Schema:
    return {"type": "object", "required": [name], "properties": {name: {"const": value}}}


def _parameter(where: str, name: str, *, required: bool = False) -> Schema:
    return {"in": where, "name": name, "required": required, "schema": {"type": "string"}}


def _hook() -> Schema:
    return _operation(
        "Webhooks",
        "A webhook of Stripe, Resend, PostHog or any Standard Webhooks sender",
        _constant("received", True),
        (400, 401, 408, 413, 429, 503),
        parameters=[
            _parameter("path", "source", required=True),
            _parameter("path", "key", required=True),
            *(_parameter("header", name) for name in ("Stripe-Signature", "webhook-id", "webhook-timestamp")),
            *(_parameter("header", name) for name in ("webhook-signature", "svix-id", "svix-timestamp")),
            _parameter("header", "svix-signature"),
        ],
        requestBody=_body({}),
    )


_MESSAGE: Schema = {
    "type": "object",
    "properties": {
        "type": {"enum": ["track", "identify", "page", "screen", "group", "alias"]},
        "userId": {"type": ["string", "null"]},
        "anonymousId": {"type": ["string", "null"]},
        "messageId": {"type": "string"},
        "event": {"type": "string"},
        "properties": {"type": "object"},
        "traits": {"type": "object"},
        "context": {"type": "object"},
        "timestamp": {"type": "string"},
        "sentAt": {"type": "string"},
        "writeKey": {"type": "string"},
    },
}
_TRACKING_ERRORS = (400, 401, 403, 408, 413, 429, 503)


def _segment(name: str) -> Schema:
    return _operation(
        "Segment and RudderStack SDKs",
        f"One {name} call" if len(name) > 1 else "The same, as browsers call it",
        _constant("success", True),
        _TRACKING_ERRORS,
        requestBody=_body(_MESSAGE, "text/plain"),
        security=[{"writeKey": []}, {}],
    )


def _segment_batch(_name: str) -> Schema:
    batch = {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": _MESSAGE},
            "sentAt": {"type": "string"},
            "writeKey": {"type": "string"},
        },
    }
    return _operation(
        "Segment and RudderStack SDKs",
        "Many calls at once",
        _constant("success", True),
        _TRACKING_ERRORS,
        requestBody=_body(batch, "text/plain"),
        security=[{"writeKey": []}, {}],
    )


_EVENT: Schema = {
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "uuid": {"type": "string"},
        "distinct_id": {"type": ["string", "number", "object"]},
        "timestamp": {"type": "string"},
        "properties": {"type": "object"},
        "api_key": {"type": "string"},
    },
}
_BATCH: Schema = {
    "type": "object",
    "properties": {
        "api_key": {"type": "string"},
        "batch": {"type": "array", "items": _EVENT},
        "sent_at": {"type": "string"},
    },
}
_CAPTURE: Schema = {"anyOf": [_BATCH, _EVENT, {"type": "array", "items": _EVENT}]}


def _capture() -> Schema:
    return _operation(
        "PostHog SDKs",
        "Events of a PostHog SDK, gzip or not",
        _constant("status", 1),
        _TRACKING_ERRORS,
        parameters=[_parameter("query", "compression")],
        requestBody=_body(_CAPTURE, "text/plain"),
    )


def _capture_get() -> Schema:
    return _operation(
        "PostHog SDKs",
        "The same, as an image loads it",
        _constant("status", 1),
        _TRACKING_ERRORS,
        parameters=[_parameter("query", "data"), _parameter("query", "compression")],
    )


def _capture_v1() -> Schema:
    return _operation(
        "PostHog SDKs",
        "Events of a newer PostHog SDK, answered one by one",
        {"type": "object", "required": ["results"], "properties": {"results": {"type": "object"}}},
        _TRACKING_ERRORS,
        requestBody=_body(_BATCH),
        security=[{"projectToken": []}],
    )


def _flags() -> Schema:
    return _operation("PostHog SDKs", "No feature flags", _constant("errorsWhileComputingFlags", False), ())


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}
code{font:13px ui-monospace,monospace}summary{cursor:pointer}
"""


def page(schema: Schema) -> str:
    """The description as one HTML page."""
    groups: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_row(path, method, operation))
    tables = "".join(f"<h2>{escape(tag)}</h2><table>{''.join(rows)}</table>" for tag, rows in groups.items())
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'</head><body><h1>{title}</h1><p>2xx means stored. The machine-readable form is <a href="/openapi.json">'
        f"openapi.json</a>.</p>{tables}</body></html>"
    )


def _row(path: str, method: str, operation: Schema) -> str:
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td><details><summary>"
        f"{escape(operation.get('summary', ''))}</summary><table>{answers}</table></details></td></tr>"
    )
