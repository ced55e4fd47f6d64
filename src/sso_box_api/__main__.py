"""``python -m sso_box_api`` is ``sso-box-api``."""

from sso_box_api.cli import main

main()
