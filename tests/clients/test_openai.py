"""What the real `openai` package gets through the gateway: models, chats, streams, tools, embeddings, errors."""

import asyncio
import base64
import json
import struct
import time

import openai
import pytest

from sdk import HELLO, chat

TENANTS = {
    "main": {"limits": ["100M tokens/day per key", "1M requests/min per key", "1000 concurrent per key"]},
    "narrow": {"models": ["spare"]},
}
TEXT = "The river bends twice below the old mill, then naïvely runs 川 into the sea 🦀."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def stream_text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


# Models.


def test_list_models(client):
    listed = list(client.models.list())
    assert {"fast", "embed", "spare"} <= {model.id for model in listed}
    assert all(model.object == "model" for model in listed)


def test_retrieve_model(client):
    assert client.models.retrieve("fast").id == "fast"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


# Chat.


def test_chat(client, gateway, mock):
    raw = client.chat.completions.with_raw_response.create(
        model="fast", messages=HELLO, extra_body={"mock": {"text": TEXT}}
    )
    reply = raw.parse()
    assert reply.object == "chat.completion"
    assert reply.choices[0].message.content == TEXT
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    line = gateway.access(raw.headers["x-request-id"])
    assert line["outcome"] == "ok"
    assert line["key"] == "main"
    [received] = mock.requests()
    assert received.path == "/v1/chat/completions"
    assert received.body["model"] == "gpt-4o-mini"
    assert received.body["messages"] == HELLO


def test_the_provider_gets_its_own_key_and_not_the_clients(client, gateway, mock):
    chat(client)
    [received] = mock.requests()
    assert received.headers["authorization"] == f"Bearer {gateway.provider_key.secret}"
    assert gateway.keys["main"].random not in json.dumps([received.headers, received.body])


def test_unknown_fields_reach_the_provider(client, mock):
    chat(client, extra_body={"mock": {}, "some_new_field": {"deep": [1, None, 1.50]}})
    [received] = mock.requests()
    assert received.body["some_new_field"] == {"deep": [1, None, 1.5]}


def test_rate_limit_headers(client):
    raw = client.chat.completions.with_raw_response.create(model="fast", messages=HELLO)
    for kind in ("requests", "tokens"):
        limit = int(raw.headers[f"x-ratelimit-limit-{kind}"])
        assert 0 <= int(raw.headers[f"x-ratelimit-remaining-{kind}"]) <= limit
        assert raw.headers[f"x-ratelimit-reset-{kind}"]


def test_async_client(gateway):
    async def run():
        async with openai.AsyncOpenAI(
            base_url=gateway.url, api_key=gateway.secret(), max_retries=0, timeout=15
        ) as client:
            reply = await chat(client, {"text": TEXT})
            assert reply.choices[0].message.content == TEXT
            stream = await chat(client, {"text": TEXT}, stream=True)
            assert stream_text([chunk async for chunk in stream]) == TEXT

    asyncio.run(run())


# Streams.


def test_stream_without_usage(client, mock):
    chunks = list(chat(client, {"text": TEXT}, stream=True))
    assert all(chunk.choices for chunk in chunks), "a chunk without choices crashes clients"
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stream_text(chunks) == TEXT
    [received] = mock.requests()
    assert received.body["stream_options"]["include_usage"] is True, "or nobody could be charged"


def test_stream_with_usage(client):
    chunks = list(chat(client, {"tokens": 12}, stream=True, stream_options={"include_usage": True}))
    with_usage = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(with_usage) == 1
    assert chunks[-1] is with_usage[0]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12


def test_stream_with_usage_refused_by_the_client(client, mock):
    chunks = list(chat(client, {"tokens": 3}, stream=True, stream_options={"include_usage": False}))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    [received] = mock.requests()
    assert received.body["stream_options"]["include_usage"] is True


@pytest.mark.parametrize("split", [1, 7, 64])
def test_stream_split_anywhere(client, split):
    assert stream_text(chat(client, {"text": TEXT, "split": split}, stream=True)) == TEXT


def test_stream_is_not_held_back(client):
    """The first token arrives while the later ones have not been made yet."""
    began = time.monotonic()
    stream = chat(client, {"tokens": 20, "token_ms": 100}, stream=True)
    seen = []
    for chunk in stream:
        if chunk.choices[0].delta.content:
            seen.append(time.monotonic() - began)
    assert len(seen) == 20
    assert seen[-1] - seen[0] > 1, "all tokens came at once"


def test_tool_calls_streamed(client):
    name, arguments, finish, fragments = "", "", None, 0
    for chunk in chat(client, {"reply_tool": True}, stream=True, tools=[WEATHER]):
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or []:
            assert call.index == 0
            name += call.function.name or ""
            arguments += call.function.arguments or ""
            fragments += bool(call.function.arguments)
    assert name == "get_weather"
    assert isinstance(json.loads(arguments), dict)
    assert fragments > 1, "the arguments were not streamed"
    assert finish == "tool_calls"


def test_tool_calls_whole(client):
    message = chat(client, {"reply_tool": True}, tools=[WEATHER]).choices[0].message
    assert message.tool_calls[0].function.name == "get_weather"
    assert isinstance(json.loads(message.tool_calls[0].function.arguments), dict)


def test_fifty_streams_at_once(gateway):
    async def one(client):
        stream = await chat(client, {"tokens": 30, "token_ms": 5}, stream=True)
        return len([1 async for chunk in stream if chunk.choices[0].delta.content])

    async def run():
        async with openai.AsyncOpenAI(
            base_url=gateway.url, api_key=gateway.secret(), max_retries=0, timeout=60
        ) as client:
            return await asyncio.gather(*(one(client) for _ in range(50)))

    assert asyncio.run(run()) == [30] * 50


# The other endpoints.


def test_embeddings_as_floats_and_base64(client):
    def embed(**fields):
        return client.embeddings.create(model="embed", input=["the river", "the sea"], **fields)

    floats, encoded, default = embed(encoding_format="float"), embed(encoding_format="base64"), embed()
    assert [item.index for item in floats.data] == [0, 1]
    assert floats.usage.prompt_tokens > 0
    for plain, packed, unpacked in zip(floats.data, encoded.data, default.data):
        data = base64.b64decode(packed.embedding)
        values = struct.unpack(f"<{len(data) // 4}f", data)
        assert plain.embedding == pytest.approx(list(values), abs=1e-6)
        # Not asked, the package asks for base64 and unpacks it.
        assert plain.embedding == pytest.approx(list(unpacked.embedding), abs=1e-6)


def test_embeddings_of_token_arrays(client):
    assert len(client.embeddings.create(model="embed", input=[[1, 2, 3], [4]]).data) == 2


def test_legacy_completions(client, mock):
    reply = client.completions.create(model="fast", prompt="Once", extra_body={"mock": {"text": TEXT}})
    assert reply.object == "text_completion"
    assert reply.choices[0].text == TEXT
    chunks = list(client.completions.create(model="fast", prompt="Once", stream=True, extra_body={"mock": {"text": TEXT}}))
    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert [received.path for received in mock.requests()] == ["/v1/completions"] * 2


# Refusals.


def test_401(connect):
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(connect("sk-not-a-key-of-anyone"))
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["x-request-id"]
    assert "sk-not-a-key" not in caught.value.response.text


def test_404_of_a_model(client, mock):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="no-such-model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "no-such-model" in str(caught.value)
    assert mock.requests() == []


def test_a_model_the_key_may_not_use(connect, mock):
    client = connect("narrow")
    assert chat(client, model="spare").choices
    assert {model.id for model in client.models.list()} == {"spare"}
    mock.reset()
    with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError)):
        chat(client, model="fast")
    assert mock.requests() == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": None}, "messages"),
        ({"model": ""}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"n": -2}, "n"),
    ],
)
def test_400_names_the_field(client, mock, fields, param):
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client, **fields)
    assert caught.value.param == param
    assert isinstance(caught.value, openai.BadRequestError)
    assert caught.value.type == "invalid_request_error"
    assert mock.requests() == []


def test_400_of_the_provider_passes(client):
    with pytest.raises(openai.BadRequestError):
        chat(client, {"status": 400})
