"""What development, tests and the demo need: a Box emulator, an IdP, a PostgreSQL.

Never imported by ``sso_box_api`` and never imports it; not in the wheel or image.
"""
