"""Exchange a company's SSO ID token for narrow, short-lived, revocable Box access."""
