"""Sign-in at an OpenID Connect provider: code flow with PKCE, state and nonce bound to the browser that started it.

What the flow has to remember travels in a short-lived cookie that only this host can set and scripts cannot read.
"""

import secrets
import time
from typing import Any
from urllib.parse import quote, unquote

import httpx
import structlog
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gdp_core import clock
from gdp_core.accounts import users
from gdp_core.errors import GrowthError, Unauthorised, Unavailable
from gdp_core.runtime import database
from gdp_core.settings import settings
from pages.gate.addresses import cookie, safe_next
from pages.gate.asgi import ip_of, unavailable
from pages.gate.headers import is_https
from pages.gate.html import page
from pages.gate.sign_in import signed_in_response

log = structlog.get_logger()

_FLOW_SECONDS = 600
_METADATA_SECONDS = 3600.0
_TIMEOUT = httpx.Timeout(10.0)
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_SCOPE = "openid email profile"

_metadata: dict[str, tuple[float, dict[str, Any]]] = {}


async def start(request: Request) -> Response:
    """Send the browser to the provider."""
    if not _configured():
        return RedirectResponse("/login", 303)
    try:
        provider = await _provider()
    except (httpx.HTTPError, Unauthorised, ValueError, LookupError) as error:
        return _refused(request, error)
    state, nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(24), generate_token(64)
    address = prepare_grant_uri(
        provider["authorization_endpoint"],
        settings().oidc_client_id,
        "code",
        redirect_uri=_redirect_uri(),
        scope=_SCOPE,
        state=state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
    )
    wanted = quote(safe_next(request.query_params.get("next")), safe="")
    answer = RedirectResponse(address, 303)
    answer.set_cookie(
        _cookie_name(),
        ".".join((state, nonce, verifier, wanted)),
        max_age=_FLOW_SECONDS,
        httponly=True,
        secure=is_https(),
        samesite="lax",
    )
    return answer


async def callback(request: Request) -> Response:
    """The provider sends the browser back: exchange the code, check the identity token, sign in."""
    if not _configured():
        return RedirectResponse("/login", 303)
    try:
        claims, wanted = await _vouched(request)
        found = await run_in_threadpool(
            lambda: users.user_of_claims(database("gdp_gate"), claims, ip=ip_of(request.scope), now=clock.now())
        )
        told = _password_ended(wanted) if found.password_ended else None
        answer = await signed_in_response(request, found.user_id, wanted, how="oidc", instead=told)
    except (httpx.HTTPError, JoseError, GrowthError, ValueError, LookupError, TypeError) as error:
        answer = _refused(request, error)
    answer.delete_cookie(_cookie_name(), httponly=True, secure=is_https(), samesite="lax")
    return answer


ROUTES = [Route("/oidc/start", start), Route("/oidc/callback", callback)]


def _password_ended(wanted: str) -> Response:
    """Said once, before the dashboard: nobody had proved that the address was theirs who chose the password."""
    return page(
        "You are signed in",
        lead="Your company account vouched for your address for the first time, so the password that this account"
        " had is removed and its other sessions have ended. Sign in with your company account from now on; under Your"
        " account you can choose a new password.",
        link=(safe_next(wanted), "Continue"),
    )


async def _vouched(request: Request) -> tuple[users.Claims, str]:
    """(what the provider says, where to go next). Raises Unauthorised for a flow this browser did not start."""
    remembered = (cookie(request.scope["headers"], _cookie_name()) or "").split(".", 3)
    state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
    if len(remembered) != 4 or not secrets.compare_digest(remembered[0].encode(), state.encode("utf-8", "replace")):
        raise Unauthorised("This sign-in was not started in this browser, or took too long: start it again.")
    if not code:
        raise Unauthorised("The provider did not sign you in: start again.")
    _, nonce, verifier, wanted = remembered
    provider = await _provider()
    token = await _exchange(provider["token_endpoint"], code, verifier)
    keys = KeySet.import_key_set(await _fetch(provider["jwks_uri"]))
    decoded = jwt.decode(str(token.get("id_token", "")), keys, algorithms=_ALGORITHMS)
    jwt.JWTClaimsRegistry(
        now=int(clock.now().timestamp()),
        leeway=60,
        iss={"essential": True, "value": provider["issuer"]},
        aud={"essential": True, "value": settings().oidc_client_id or ""},
        exp={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": nonce},
    ).validate(decoded.claims)
    said = decoded.claims
    if len(said["aud"]) > 1 and isinstance(said["aud"], list) and said.get("azp") != settings().oidc_client_id:
        raise Unauthorised("The provider's answer was meant for another application: start again.")
    return (
        users.Claims(
            issuer=str(provider["issuer"]),
            subject=str(said["sub"]),
            email=said.get("email") if isinstance(said.get("email"), str) else None,
            email_verified=said.get("email_verified") in (True, "true"),
            name=str(said.get("name") or ""),
        ),
        unquote(wanted),
    )


async def _provider() -> dict[str, Any]:
    """The provider's own description. Raises Unauthorised when it describes another issuer."""
    issuer = (settings().oidc_issuer or "").rstrip("/")
    known = _metadata.get(issuer)
    if known and known[0] > time.monotonic():
        return known[1]
    found: dict[str, Any] = await _fetch(f"{issuer}/.well-known/openid-configuration")
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise Unauthorised("GDP_OIDC_ISSUER does not describe itself under that address: correct the setting.")
    _metadata[issuer] = (time.monotonic() + _METADATA_SECONDS, found)
    return found


async def _fetch(address: str) -> Any:
    async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
        return (await client.get(address)).raise_for_status().json()


async def _exchange(endpoint: str, code: str, verifier: str) -> dict[str, Any]:
    """The tokens for a code. Raises httpx.HTTPError, ValueError."""
    secret = settings().oidc_client_secret
    identity = {"client_id": settings().oidc_client_id or ""}
    async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
        answer = await client.post(
            endpoint,
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": _redirect_uri(),
                "code_verifier": verifier,
                **(identity if secret is None else {}),
            },
            auth=httpx.BasicAuth(identity["client_id"], secret.get_secret_value())
            if secret
            else httpx.USE_CLIENT_DEFAULT,
            headers={"accept": "application/json"},
        )
    tokens: dict[str, Any] = answer.raise_for_status().json()
    return tokens


def _redirect_uri() -> str:
    return f"{settings().dashboard_address}/oidc/callback"


def _configured() -> bool:
    return settings().oidc_issuer is not None and settings().oidc_client_id is not None


def _cookie_name() -> str:
    return "__Host-gdp-oidc" if is_https() else "gdp-oidc"


def _refused(request: Request, error: Exception) -> Response:
    log.warning(
        "refused", action="gate.oidc_refused", request_id=request.scope["request_id"], error=type(error).__name__
    )
    if isinstance(error, Unavailable):
        return unavailable(request.scope, error)
    said = (
        str(error)
        if isinstance(error, GrowthError)
        else "The provider cannot be reached or its answer is not valid: try again."
    )
    return page("Sign in", status=401, error=said, link=("/login", "Go to sign-in"))
