"""Accounts: take over the Box users that an older system made."""

import sys
from collections import Counter
from pathlib import Path

import click

from sso_box_api.adoption import links_at_box, links_in_file
from sso_box_api.cli.selectors import provider_named
from sso_box_api.cli.shared import FAILED, Listing, explained, run_with_parts
from sso_box_api.parts import Parts


@click.command("import")
@click.option("--provider", required=True, help="Whose subjects they are.")
@click.option(
    "--bare-subjects",
    is_flag=True,
    help="Box users whose external id is a subject of that provider.",
)
@click.option(
    "--csv",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the columns subject,box_user_id.",
)
@click.option("--apply", is_flag=True, help="Do it; without, only tell.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@explained
def import_accounts(
    *, provider: str, bare_subjects: bool, file: Path | None, apply: bool, as_json: bool
) -> None:
    """Bind people to Box users that an older system made for them.

    Changes nothing at Box. May be repeated, also after an end by force. Exit 1 if any
    line is refused.
    """
    if bare_subjects == (file is not None):
        raise click.UsageError("give --bare-subjects or --csv, and one of them")
    counts: Counter[str] = Counter(adopted=0, adoptable=0, already=0, refused=0)

    async def run(parts: Parts) -> None:
        await parts.require_consistent_rows()
        chosen = provider_named(parts, provider, instead="it cannot be imported for")
        source = links_in_file(file) if file else links_at_box(parts.box)
        with Listing("links", as_json=as_json) as listing:
            async for outcome in parts.adoption(chosen).run(source, apply=apply):
                counts[outcome.state] += 1
                link, state, why = outcome.link, outcome.state, outcome.why
                where, who = link.where, (link.subject, link.box_user_id)
                entry = {
                    "state": state,
                    "where": where,
                    "subject": link.subject,
                    "box_user_id": link.box_user_id,
                    "why": why,
                }
                listing.add(entry, [state, where, *who, why])
            listing.end(**counts, applied=apply)

    run_with_parts(run)
    sys.exit(FAILED if counts["refused"] else 0)
