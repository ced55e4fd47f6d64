"""Box's budgets of calls, counted where a test switches them on."""

from tests.support.box_caller import BoxCaller


async def test_each_user_has_a_budget_of_calls(box: BoxCaller) -> None:
    mine, other = await box.token(await box.app_user()), await box.token()
    await box.settings(calls_per_minute=2)
    for _ in range(2):
        assert (await box.call(mine, "GET", "/2.0/users/me")).status_code == 200
    answer = await box.call(mine, "GET", "/2.0/users/me")
    assert answer.status_code == 429
    assert answer.json()["code"] == "rate_limit_exceeded"
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await box.call(other, "GET", "/2.0/users/me")).status_code == 200
    await box.settings(limits_tell_retry_after=False)
    silent = await box.call(mine, "GET", "/2.0/users/me")
    assert silent.status_code == 429
    assert "retry-after" not in silent.headers


async def test_uploads_are_counted_apart_and_a_refused_call_does_no_work(
    box: BoxCaller,
) -> None:
    token = await box.token(await box.app_user())
    await box.settings(uploads_per_minute=1)
    assert (await box.upload(token, b"x", "a")).status_code == 201
    assert (await box.upload(token, b"x", "b")).status_code == 429
    listed = await box.call(token, "GET", "/2.0/folders/0/items")
    assert [entry["name"] for entry in listed.json()["entries"]] == ["a"]
    await box.control("POST", "reset", {})
    service = await box.token()
    assert (await box.upload(service, b"x", "a")).status_code == 201
