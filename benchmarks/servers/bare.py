"""The least that a FastAPI service can do for a request: the yardstick.

An ``async def`` that returns a dict, as in the first steps of FastAPI's tutorial, and
no more: nothing is read of the request. Requests and answers are as long as those of
the exchange.
"""

import sys

import uvicorn
from fastapi import FastAPI

_ANSWER = {
    "access_token": "x" * 32,
    "token_type": "bearer",
    "expires_in": 3600,
    "expires_at": "2030-01-01T00:00:00Z",
    "scope": [
        "base_explorer",
        "item_preview",
        "item_download",
        "item_upload",
        "item_rename",
        "item_delete",
    ],
    "resource": None,
    "box_user_id": "10000000001",
}

app = FastAPI(openapi_url=None)


# Without a response model, which the tutorial's first route has not either.
@app.post("/v1/token", response_model=None)
async def answer() -> dict[str, object]:
    return dict(_ANSWER)


@app.get("/livez", response_model=None)
async def alive() -> dict[str, object]:
    return {}


if __name__ == "__main__":
    # As the service's own command runs it.
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, server_header=False)
