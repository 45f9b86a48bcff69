"""What stands before the pages: the ASGI gate, security headers, and the sign-in pages."""
