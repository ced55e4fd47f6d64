"""GET /metrics: what Prometheus scrapes, where a token for it is configured.

No part of the OpenAPI document, which is for pages and apps.
"""

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import SecretStr

from sso_box_api.api.state import BadTokensDep, DatabaseDep, MetricsDep, SettingsDep
from sso_box_api.api.token import client_address
from sso_box_api.backlog import read_backlog
from sso_box_api.errors import DatabaseUnavailable, MetricsTokenWrong

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def scrape(
    request: Request,
    settings: SettingsDep,
    database: DatabaseDep,
    metrics: MetricsDep,
    bad_tokens: BadTokensDep,
) -> Response:
    with bad_tokens.counting(client_address(request)):
        _require(request, settings.metrics_token)
    try:
        backlog = await read_backlog(database)
    except DatabaseUnavailable:
        backlog = None
    written = await metrics.render(backlog)
    return Response(written, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _require(request: Request, token: SecretStr | None) -> None:
    """Raise ``MetricsTokenWrong`` for everything but this very token."""
    header = request.headers.get("authorization", "")
    scheme, _, unverified = header.partition(" ")
    is_known = token is not None and hmac.compare_digest(
        unverified.strip().encode(), token.get_secret_value().encode()
    )
    if not is_known or scheme.lower() != "bearer":
        raise MetricsTokenWrong("metrics")
