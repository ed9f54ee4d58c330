"""Real clients of several makers against every provider format: chat, stream, a round trip of tools, JSON by a schema.

Each client is a row of functions that take a model and return what their user would see; the expectations are the same
for all of them.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import anthropic
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

TENANTS = {"main": {"limits": ["100M tokens/day per key", "1M requests/min per key"]}}
FORMATS = {
    "openai": ("openai", "/v1", "gpt-4o-mini"),
    "vllm": ("vllm", "/v1", "local"),
    "anthropic": ("anthropic", "/v1", "claude-sonnet-4-5"),
    "vertex-claude": ("vertex", "/v1/projects/p/locations/l", "claude-sonnet-4-5@20250929"),
    "gemini": ("gemini", "/v1beta", "gemini-2.5-flash"),
    "bedrock": ("bedrock", "", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "azure": ("azure", "", "gpt-4o"),
}
TEXT = "The river bends twice, naïvely 川 🦀."
SAY = f"Say it. [[mock {json.dumps({'text': TEXT})}]]"
CALL = f"Weather? [[mock {json.dumps({'reply_tool': True})}]]"
SOURCE = {"url": "https://example.com/river", "title": "Rivers", "quote": "It bends."}
CITE = f"Say it. [[mock {json.dumps({'text': TEXT, 'sources': [SOURCE]})}]]"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "The weather of a city", "parameters": CITY}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
NODE = Path(os.environ.get("NODE_CLIENTS") or Path(__file__).parents[2] / ".scratch" / "node")


class Person(BaseModel):
    name: str
    age: int


class OpenAiChat:
    """`openai`, chat completions."""

    def __init__(self, url, secret):
        self.chat_api = openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0).chat.completions

    def chat(self, model):
        return self.chat_api.create(model=model, messages=[{"role": "user", "content": SAY}]).choices[0].message.content

    def stream(self, model):
        messages = [{"role": "user", "content": SAY}]
        chunks = list(
            self.chat_api.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True})
        )
        assert chunks[-1].usage.completion_tokens > 0
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    def tools(self, model):
        messages = [{"role": "user", "content": CALL}]
        tools = [{"type": "function", "function": TOOL}]
        first = self.chat_api.create(model=model, messages=messages, tools=tools).choices[0].message
        [call] = first.tool_calls
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": "18 C"}]
        last = self.chat_api.create(model=model, messages=messages, tools=tools).choices[0].message.content
        return call.function.name, json.loads(call.function.arguments), last

    def schema(self, model):
        messages = [{"role": "user", "content": "Who?"}]
        form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
        reply = self.chat_api.create(model=model, messages=messages, response_format=form)
        return json.loads(reply.choices[0].message.content)


class OpenAiResponses:
    """`openai`, responses."""

    def __init__(self, url, secret):
        self.api = openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0).responses
        self.tool = {"type": "function", "strict": False, **TOOL}

    def chat(self, model):
        return self.api.create(model=model, input=SAY).output_text

    def stream(self, model):
        with self.api.stream(model=model, input=SAY) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        assert final.output_text == text and final.usage.output_tokens > 0
        return text

    def tools(self, model):
        items = [{"role": "user", "content": CALL}]
        first = self.api.create(model=model, input=items, tools=[self.tool])
        [call] = [item for item in first.output if item.type == "function_call"]
        items += [call.model_dump(exclude_none=True)]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "18 C"}]
        last = self.api.create(model=model, input=items, tools=[self.tool]).output_text
        return call.name, json.loads(call.arguments), last

    def schema(self, model):
        form = {"format": {"type": "json_schema", "name": "person", "strict": True, "schema": PERSON}}
        return json.loads(self.api.create(model=model, input="Who?", text=form).output_text)


class Anthropic:
    """`anthropic`, messages."""

    def __init__(self, url, secret):
        self.api = anthropic.Anthropic(base_url=url, api_key=secret, max_retries=0).messages
        self.tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": CITY}

    def ask(self, text):
        return {"max_tokens": 500, "messages": [{"role": "user", "content": text}]}

    def text(self, message):
        return "".join(block.text for block in message.content if block.type == "text")

    def chat(self, model):
        reply = self.api.create(model=model, **self.ask(SAY))
        assert reply.stop_reason == "end_turn" and reply.usage.output_tokens > 0
        return self.text(reply)

    def stream(self, model):
        with self.api.stream(model=model, **self.ask(SAY)) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert self.text(final) == text and final.usage.output_tokens > 0 and final.usage.input_tokens > 0
        return text

    def tools(self, model):
        asked = self.ask(CALL)
        with self.api.stream(model=model, tools=[self.tool], **asked) as stream:
            first = stream.get_final_message()
        assert first.stop_reason == "tool_use"
        [call] = [block for block in first.content if block.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 C"}
        content = [block.model_dump(exclude_none=True) for block in first.content]
        asked["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
        return call.name, call.input, self.text(self.api.create(model=model, tools=[self.tool], **asked))

    def schema(self, model):
        form = {"format": {"type": "json_schema", "schema": PERSON}}
        return json.loads(self.text(self.api.create(model=model, extra_body={"output_config": form}, **self.ask("Who?"))))


class LangChain:
    """`langchain-openai`."""

    def __init__(self, url, secret):
        self.make = lambda model: ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=secret, max_retries=0)

    def chat(self, model):
        return self.make(model).invoke(SAY).text

    def stream(self, model):
        return "".join(chunk.text for chunk in self.make(model).stream(SAY))

    def tools(self, model):
        bound = self.make(model).bind_tools([{"type": "function", "function": TOOL}])
        messages = [HumanMessage(CALL)]
        first = bound.invoke(messages)
        [call] = first.tool_calls
        messages += [first, ToolMessage("18 C", tool_call_id=call["id"])]
        return call["name"], call["args"], bound.invoke(messages).text

    def schema(self, model):
        return self.make(model).with_structured_output(Person, method="json_schema").invoke("Who?").model_dump()


def expect(kind, seen):
    if kind in ("chat", "stream"):
        assert seen == TEXT
    elif kind == "tools":
        name, arguments, last = seen
        assert (name, arguments) == ("get_weather", {"city": "Paris"})
        assert last
    else:
        assert set(seen) == {"name", "age"}
        assert isinstance(seen["age"], int)


@pytest.mark.parametrize("kind", ["chat", "stream", "tools", "schema"])
@pytest.mark.parametrize("client", [OpenAiChat, OpenAiResponses, Anthropic, LangChain])
@pytest.mark.parametrize("model", FORMATS)
def test_python_clients(gateway, client, model, kind):
    expect(kind, getattr(client(gateway.url.removesuffix("/v1"), gateway.secret()), kind)(model))


@pytest.mark.parametrize("model", FORMATS)
def test_sources_are_where_each_client_looks_for_them(gateway, model):
    url, secret = gateway.url.removesuffix("/v1"), gateway.secret()
    user = [{"role": "user", "content": CITE}]
    chat = OpenAiChat(url, secret).chat_api
    [annotation] = chat.create(model=model, messages=user).choices[0].message.annotations
    cited = annotation.url_citation
    assert (cited.url, cited.title) == (SOURCE["url"], SOURCE["title"])
    assert TEXT[cited.start_index : cited.end_index] == TEXT
    deltas = [choice.delta for chunk in chat.create(model=model, messages=user, stream=True) for choice in chunk.choices]
    [streamed] = [found for delta in deltas for found in getattr(delta, "annotations", None) or []]
    assert streamed["url_citation"]["url"] == SOURCE["url"]
    with OpenAiResponses(url, secret).api.stream(model=model, input=CITE) as stream:
        added = [event for event in stream if event.type == "response.output_text.annotation.added"]
        final = stream.get_final_response()
    [part] = [part for item in final.output if item.type == "message" for part in item.content]
    [annotation] = part.annotations
    assert (annotation.type, annotation.url, len(added)) == ("url_citation", SOURCE["url"], 1)
    assert part.text[annotation.start_index : annotation.end_index] == TEXT
    claude = Anthropic(url, secret)
    with claude.api.stream(model=model, **claude.ask(CITE)) as stream:
        streamed = stream.get_final_message()
    for message in (streamed, claude.api.create(model=model, **claude.ask(CITE))):
        [citation] = [citation for block in message.content for citation in block.citations or []]
        assert (citation.url, citation.title) == (SOURCE["url"], SOURCE["title"])


@pytest.mark.parametrize("model", FORMATS)
def test_a_message_begins_with_the_tokens_of_its_prompt(gateway, model):
    """Agents show how full the window is by what the first event says."""
    claude = Anthropic(gateway.url.removesuffix("/v1"), gateway.secret())
    with claude.api.stream(model=model, **claude.ask(SAY)) as stream:
        [start] = [event for event in stream if event.type == "message_start"]
        final = stream.get_final_message()
    assert start.message.usage.input_tokens > 0
    assert final.usage.input_tokens > 0


@pytest.mark.skipif(not shutil.which("node") or not NODE.exists(), reason="no Node, or no index of npm's packages")
@pytest.mark.parametrize("client", ["openai", "ai-sdk-chat", "ai-sdk-responses"])
def test_node_clients(gateway, client):
    """One process per client: it runs every case and prints a line for each."""
    cases = {"say": SAY, "call": CALL, "city": CITY, "person": PERSON, "models": list(FORMATS)}
    script = NODE / "clients.mjs"
    shutil.copy(Path(__file__).parent / "node" / "clients.mjs", script)
    env = os.environ | {"GATEWAY_URL": gateway.url, "GATEWAY_KEY": gateway.secret(), "NO_PROXY": "*"}
    run = subprocess.run(
        ["node", str(script), client, json.dumps(cases)], env=env, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-4000:]
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert {(line["model"], line["kind"]) for line in lines} == {
        (model, kind) for model in FORMATS for kind in ("chat", "stream", "tools", "schema")
    }
    for line in lines:
        assert "error" not in line, line
        expect(line["kind"], line["seen"])
