"""The command line: serve, database, doctor, explain, keys, accounts, locks, provisioning.

Exit codes: 0 done, 1 a check failed or something is not reachable, 2 wrong usage or
configuration, 3 something is left to be done at Box, which the serve processes go on with.
"""

import click

from sso_box_api.cli.account import account_group
from sso_box_api.cli.adoption import import_accounts
from sso_box_api.cli.checks import doctor_command, explain_command
from sso_box_api.cli.links import recreate, relink, unlink
from sso_box_api.cli.provision import provision_group
from sso_box_api.cli.service import db_group, keys_group, serve
from sso_box_api.cli.suspensions import (
    lock_command,
    locks_command,
    unlock_command,
)
from sso_box_api.cli.upkeep import after_restore, rebind, reconcile_command

for of_account in (relink, unlink, recreate, import_accounts):
    account_group.add_command(of_account)
for of_database in (rebind, after_restore):
    db_group.add_command(of_database)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sso-box-api")
def main() -> None:
    """Exchange a company's SSO ID token for narrow, short-lived Box access."""


for command in (
    serve,
    db_group,
    keys_group,
    doctor_command,
    explain_command,
    account_group,
    lock_command,
    unlock_command,
    locks_command,
    provision_group,
    reconcile_command,
):
    main.add_command(command)
