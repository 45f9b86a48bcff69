"""The dashboard as one ASGI application: the gate around Streamlit's pages. `streamlit run app.py` serves it."""

import streamlit as st
import uvicorn
from starlette.middleware import Middleware

from pages.api import API_ROUTES
from pages.gate import account, oidc, sign_in
from pages.gate.asgi import Gate

# Streamlit starts uvicorn itself and has no option for these: no banner, and no believing X-Forwarded-For from just
# any local client, which would let it choose the address that sign-in is throttled by (GDP_TRUSTED_PROXIES decides).
uvicorn.Config.encoded_headers = property(lambda _: [], lambda _, __: None)  # type: ignore[assignment]
uvicorn.Config.proxy_headers = property(lambda _: False, lambda _, __: None)  # type: ignore[assignment]

app = st.App(
    "pages/frame.py",
    routes=[*sign_in.ROUTES, *oidc.ROUTES, *account.ROUTES, *API_ROUTES],
    middleware=[Middleware(Gate)],
    exception_handlers={Exception: sign_in.failed},
)
