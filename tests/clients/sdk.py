"""What the tests of the `openai` package share."""

HELLO = [{"role": "user", "content": "Say hello to the river."}]


def chat(client, mock=None, **fields):
    """A chat call; `mock` tells the provider what to do."""
    extra = {"extra_body": {"mock": mock}} if mock is not None else {}
    return client.chat.completions.create(**{"model": "fast", "messages": HELLO} | extra | fields)
