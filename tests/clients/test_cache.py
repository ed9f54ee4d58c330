"""An answer of the cache, or of another's call, is the same to a real client as the one of the provider.

What is compared is everything that the packages parse, field by field, fields that nobody set included.
"""

import asyncio
import itertools
import json

import anthropic
import openai
import pytest

TENANTS = {"main": {"limits": ["100M tokens/day per key", "1M requests/min per key"]}}
CACHE = {"mode": "exact"}
FORMATS = {
    "openai": ("openai", "/v1", "gpt-4o-mini"),
    "anthropic": ("anthropic", "/v1", "claude-sonnet-4-5"),
    "gemini": ("gemini", "/v1beta", "gemini-2.5-flash"),
    "bedrock": ("bedrock", "", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}
TEXT = "The river bends twice below the old mill, then naïvely runs 川 into the sea 🦀."
NUMBERS = itertools.count()


@pytest.fixture
def say():
    """A question that nobody has asked before."""
    return f"Say it, number {next(NUMBERS)}. [[mock {json.dumps({'text': TEXT})}]]"


def whole(parsed):
    """Everything of a parsed answer, whether it was set or not."""
    return [x.model_dump(mode="json") for x in parsed] if isinstance(parsed, list) else parsed.model_dump(mode="json")


def ask(create, **fields):
    """What the cache made of a call, the type of its answer, and the answer."""
    raw = create(**fields)
    parsed = raw.parse()
    answer = list(parsed) if fields.get("stream") else parsed
    assert answer
    return raw.headers["x-sluice-cache"], raw.headers["content-type"].split(";")[0], answer


def fold(chunks):
    """What a stream of chunks comes to."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    same = {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}
    assert len(same) == 1, same
    return {
        "head": same.pop()[:3],
        "roles": {choice.delta.role for choice in choices if choice.delta.role},
        "content": "".join(choice.delta.content or "" for choice in choices),
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "logprobs": [choice.logprobs for choice in choices if choice.logprobs],
        "fingerprints": {chunk.system_fingerprint for chunk in chunks},
        "usage": [chunk.usage.total_tokens for chunk in chunks if chunk.usage],
    }


@pytest.mark.parametrize("usage", [None, False, True])
@pytest.mark.parametrize("model", FORMATS)
def test_a_stream_is_the_same_live_and_cached(client, mock, say, model, usage):
    create = client.chat.completions.with_raw_response.create
    fields = {"model": model, "messages": [{"role": "user", "content": say}], "stream": True}
    if usage is not None:
        fields["stream_options"] = {"include_usage": usage}
    live = ask(create, **fields)
    cached = ask(create, **fields)
    assert (live[0], cached[0]) == ("miss", "hit-exact")
    assert live[1] == cached[1] == "text/event-stream"
    assert whole(live[2]) == whole(cached[2])
    told = fold(cached[2])
    assert told["content"] == TEXT and told["finish"] == ["stop"]
    assert len(told["usage"]) == (1 if usage else 0)
    assert len(mock.requests()) == 1


@pytest.mark.parametrize("model", FORMATS)
def test_an_answer_is_the_same_live_and_cached(client, mock, say, model):
    create = client.chat.completions.with_raw_response.create
    fields = {"model": model, "messages": [{"role": "user", "content": say}]}
    live, cached = ask(create, **fields), ask(create, **fields)
    assert (live[0], cached[0]) == ("miss", "hit-exact")
    assert live[1] == cached[1] == "application/json"
    assert whole(live[2]) == whole(cached[2])
    assert live[2].choices[0].message.content == TEXT
    assert len(mock.requests()) == 1


@pytest.mark.parametrize("first", [False, True])
def test_a_stream_with_other_usage_is_cut_into_the_same_pieces(client, mock, say, first):
    create = client.chat.completions.with_raw_response.create
    fields = {"model": "openai", "messages": [{"role": "user", "content": say}], "stream": True}
    live = ask(create, **fields, stream_options={"include_usage": first})
    cached = ask(create, **fields, stream_options={"include_usage": not first})
    assert (live[0], cached[0]) == ("miss", "hit-exact")
    pieces = [[x.choices[0].delta.content for x in chunks if x.choices] for _, _, chunks in (live, cached)]
    assert pieces[0] == pieces[1]
    one, other = fold(live[2]), fold(cached[2])
    with_usage = (one if first else other)["usage"]
    assert len(with_usage) == 1 and with_usage[0] > 0 and not (other if first else one)["usage"]
    assert {**one, "usage": []} == {**other, "usage": []}
    assert len(mock.requests()) == 1


def test_a_stream_is_told_in_one_piece_and_the_other_way_round(client, mock, say):
    create = client.chat.completions.with_raw_response.create
    usage = {"include_usage": True}
    for first in (True, False):
        asked = {"model": "openai", "messages": [{"role": "user", "content": f"{say} {first}"}]}
        stream = {**asked, "stream": True, "stream_options": usage}
        order = (stream, asked) if first else (asked, stream)
        (_, _, live), (cache, _, cached) = (ask(create, **fields) for fields in order)
        assert cache == "hit-exact"
        chunks, reply = (live, cached) if first else (cached, live)
        told, [choice] = fold(chunks), reply.choices
        assert told["head"] == (reply.id, reply.created, reply.model)
        assert (told["content"], told["finish"]) == (choice.message.content, [choice.finish_reason])
        assert (told["roles"], told["usage"]) == ({choice.message.role}, [reply.usage.total_tokens])
        assert told["fingerprints"] == {reply.system_fingerprint} and choice.logprobs is None
    assert len(mock.requests()) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FORMATS)
def test_responses_are_the_same_live_and_cached(client, mock, say, model, stream):
    create = client.responses.with_raw_response.create
    live = ask(create, model=model, input=say, stream=stream)
    cached = ask(create, model=model, input=say, stream=stream)
    assert (live[0], cached[0]) == ("miss", "hit-exact")
    assert live[1] == cached[1]
    assert whole(live[2]) == whole(cached[2])
    final = live[2][-1].response if stream else live[2]
    assert final.output_text == TEXT
    other = ask(create, model=model, input=say, stream=not stream)
    assert other[0] == "miss", "each way to ask has its own answer"
    assert len(mock.requests()) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FORMATS)
def test_messages_are_the_same_live_and_cached(gateway, mock, say, model, stream):
    url = gateway.url.removesuffix("/v1")
    client = anthropic.Anthropic(base_url=url, api_key=gateway.secret(), max_retries=0)
    create = client.messages.with_raw_response.create
    fields = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": say}], "stream": stream}
    live, cached = ask(create, **fields), ask(create, **fields)
    assert (live[0], cached[0]) == ("miss", "hit-exact")
    assert live[1] == cached[1]
    assert whole(live[2]) == whole(cached[2])
    if stream:
        deltas = [event.delta for event in cached[2] if event.type == "content_block_delta"]
        assert "".join(delta.text for delta in deltas) == TEXT
    else:
        assert cached[2].content[0].text == TEXT
    assert len(mock.requests()) == 1


@pytest.mark.serve
@pytest.mark.parametrize("usage", [False, True])
def test_streams_at_once_are_one_call_and_the_same_for_all(gateway, mock, say, usage):
    async def one(client):
        # Chunks that take half a second: time for all of them to come.
        fields = {"model": "openai", "messages": [{"role": "user", "content": say.replace("{", '{"token_ms": 25, ')}]}
        raw = await client.chat.completions.with_raw_response.create(
            **fields, stream=True, stream_options={"include_usage": usage}
        )
        return raw.headers["x-sluice-cache"], [chunk async for chunk in raw.parse()]

    async def many():
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret(), max_retries=0) as client:
            return await asyncio.gather(*(one(client) for _ in range(30)))

    answers = asyncio.run(many())
    assert sorted(cache for cache, _ in answers) == ["hit-exact"] * 29 + ["miss"]
    told = [whole(chunks) for _, chunks in answers]
    assert all(chunks == told[0] for chunks in told)
    assert fold(answers[0][1])["content"] == TEXT
    assert len(mock.requests()) == 1
