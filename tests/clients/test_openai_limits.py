"""What the real `openai` package makes of limits, of faults of the provider, and what a stream costs that was cut."""

import time

import openai
import pytest

from sdk import HELLO, chat

TENANTS = {
    "main": {"limits": ["100M tokens/day per key"]},
    "slow": {"limits": ["30 requests/min per key burst 1"]},
    "waits": {"limits": ["30 requests/min per key burst 1"]},
    "small": {"limits": ["200 tokens/min per key"]},
    "spent": {"limits": ["2 requests/day per key"]},
    "alone": {"limits": ["1 concurrent per key"]},
    "cancel": {"limits": ["1M tokens/day per key"]},
    "queue": {"limits": ["60 requests/min per key burst 1"], "queues": True},
}


# Limits.


def test_429_tells_when_and_which_limit(connect):
    client = connect("slow")
    chat(client)
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)
    error, headers = caught.value, caught.value.response.headers
    assert error.code == "rate_limit_exceeded"
    assert "30 requests/min" in error.message, "which limit refused"
    assert 1 <= int(headers["retry-after"]) <= 3
    assert 0 < float(headers["retry-after-ms"]) <= 2000
    assert float(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
    time.sleep(float(headers["retry-after-ms"]) / 1000)
    assert chat(client).choices, "retry-after was true"


def test_the_package_waits_as_told_and_succeeds(connect):
    client = connect("waits", max_retries=1)
    retried, began = 0, time.monotonic()
    for _ in range(3):
        retried += client.chat.completions.with_raw_response.create(model="fast", messages=HELLO).retries_taken
    assert retried >= 2
    assert time.monotonic() - began > 2.5


def test_what_does_not_fit_waits_and_the_package_does_not_notice(connect):
    client = connect("queue", max_retries=0)
    chat(client)
    raw = client.chat.completions.with_raw_response.create(model="fast", messages=HELLO)
    assert 100 < int(raw.headers["x-sluice-queue-ms"]) <= 1500
    assert raw.parse().choices


def test_a_client_with_less_patience_than_the_wait_is_refused_at_once(connect):
    client = connect("queue", max_retries=0)
    chat(client)
    began = time.monotonic()
    for impatient in [{"timeout": 1.2}, {"extra_headers": {"x-sluice-deadline-ms": "20"}}]:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="fast", messages=HELLO, **impatient)
        assert caught.value.response.headers["x-should-retry"] == "true"
        assert "60 requests/min" in caught.value.response.headers["x-sluice-limit"]
    assert time.monotonic() - began < 0.6
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fast", messages=HELLO, extra_headers={"x-sluice-deadline-ms": "soon"})


def test_tokens_are_limited_before_they_are_spent(connect, mock):
    client = connect("small")
    assert chat(client, {"tokens": 20}, max_tokens=50).choices
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client, {"tokens": 20}, max_tokens=190)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "tokens"
    assert len(mock.requests()) == 1


def test_a_spent_budget_is_not_retried(connect, mock):
    # One that starts anew within the patience of its class is waited for.
    left = 86400 - time.time() % 86400
    if left < 60:
        time.sleep(left + 1)
    client = connect("spent", max_retries=3)
    chat(client)
    chat(client)
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)
    error = caught.value
    assert error.response.headers["x-should-retry"] == "false"
    assert error.code == "insufficient_quota"
    assert error.type == "insufficient_quota"
    assert error.response.request.headers["x-stainless-retry-count"] == "0"
    assert len(mock.requests()) == 2


def test_concurrency(connect, gateway):
    client = connect("alone")
    with chat(client, {"tokens": 1000, "token_ms": 20}, stream=True) as stream:
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            chat(client)
        assert caught.value.response.headers["retry-after"]
    gateway.wait_settled()
    assert chat(client).choices


# What goes wrong on the way.


def test_stream_settles_with_the_usage_of_the_provider(connect, gateway):
    client = connect("cancel")
    before = gateway.spent("cancel")
    chunks = list(chat(client, {"tokens": 9}, stream=True, stream_options={"include_usage": True}))
    gateway.wait_settled()
    assert gateway.spent("cancel") - before == chunks[-1].usage.total_tokens


def test_a_cancelled_stream_settles_with_the_tokens_relayed(connect, gateway):
    client = connect("cancel")
    before = gateway.spent("cancel")
    with chat(client, {"tokens": 300, "token_ms": 20}, stream=True, max_tokens=300) as stream:
        request_id = stream.response.headers["x-request-id"]
        read = 0
        for chunk in stream:
            read += bool(chunk.choices[0].delta.content)
            if read == 10:
                break
        held = gateway.levels()["leases_open"]
    line = gateway.access(request_id)
    gateway.wait_settled()
    assert held == 1
    assert line["outcome"] == "client_gone"
    assert 10 <= line["output_tokens"] < 150, "the tokens relayed: not none, not the full bound"
    assert gateway.spent("cancel") - before == line["input_tokens"] + line["output_tokens"]


def test_a_client_that_leaves_before_the_head(connect, gateway, mock):
    client = connect("cancel", timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        chat(client, {"head_ms": 5000}, stream=True)
    gateway.wait_settled()
    assert len(mock.requests()) == 1


@pytest.mark.serve
def test_a_provider_that_cuts_the_stream(client, gateway):
    stream = chat(client, {"tokens": 20, "reset": {"after_chunks": 5}}, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert type(caught.value) is openai.APIError, "an error event, not a silent cut"
    assert caught.value.message
    assert gateway.access(stream.response.headers["x-request-id"])["outcome"] != "ok"


def test_an_error_inside_the_stream(client):
    with pytest.raises(openai.APIError) as caught:
        list(chat(client, {"tokens": 20, "error_after": 3}, stream=True))
    assert type(caught.value) is openai.APIError


def test_a_malformed_stream(client):
    with pytest.raises((openai.APIError, ValueError)):
        list(chat(client, {"tokens": 20, "malformed": True}, stream=True))


def test_a_provider_that_resets_before_the_head(client):
    with pytest.raises(openai.InternalServerError):
        chat(client, {"reset": "before_head"})


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_fails(client, status, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client, {"status": status}, stream=stream)
    assert caught.value.message
    assert caught.value.response.headers["x-request-id"]


def test_a_failed_call_costs_nothing(connect, gateway):
    before = gateway.spent("cancel")
    with pytest.raises(openai.InternalServerError):
        chat(connect("cancel"), {"status": 500})
    gateway.wait_settled()
    assert gateway.spent("cancel") == before


def test_the_providers_429_keeps_its_delay(client):
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client, {"status": 429, "retry_after": 7})
    assert int(caught.value.response.headers["retry-after"]) == 7
