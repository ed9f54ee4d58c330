"""What only a set-up of processes shows: two gateways behind one Envoy, one of them killed or drained; long waits; timing."""

import asyncio
import json
import signal
import statistics
import subprocess
import threading
import time

import openai
import pytest

import raw
from gateway import Envoy, Gateway, until
from sdk import chat

pytestmark = pytest.mark.envoy

TENANTS = {"main": {"queues": True}}
MODELS = {"fast": {"targets": ["mock/gpt-4o-mini"], "concurrent": 1}, "wide": ["mock/gpt-4o-mini"]}


@pytest.fixture(scope="module")
def gateway(mock, tmp_path_factory):
    """One gateway whose model `fast` takes one request at a time."""
    server = Gateway(tmp_path_factory.mktemp("queue"), mock, TENANTS, models=MODELS)
    yield server
    assert server.stop() == 0, server.tail()
    assert b"panicked" not in server.output(), server.tail(300)


@pytest.fixture
def pair(mock, tmp_path):
    """Two gateways with one policy, and an Envoy that knows both. Neither has the other's limits in common."""
    first = Gateway(tmp_path, mock, TENANTS, models=MODELS)
    second = first.replica(tmp_path)
    folder = tmp_path / "both"
    folder.mkdir()
    envoy = Envoy(folder, tmp_path / "sluice.yaml", gateways=[first.ext_proc, second.ext_proc], leak=mock.url)
    until("both replicas are healthy", lambda: envoy.stat("cluster.sluice.membership_healthy") == 2, 10)
    yield first, second, envoy
    for process in (envoy, first, second):
        # A test that failed may have left streams open.
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait()


def client_of(port, secret):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=secret, max_retries=0, timeout=60)


def waiting(server):
    return sum(sum(pool["waiting"].values()) for pool in server.levels()["pools"])


class Background(threading.Thread):
    """A call whose result is looked at later."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.call, self.value, self.error = call, None, None
        self.start()

    def run(self):
        try:
            self.value = self.call()
        except Exception as error:  # noqa: BLE001: the test looks at it
            self.error = error

    def result(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), "it has not come"
        if self.error:
            raise self.error
        return self.value


def hold(client, seconds=60):
    """Takes the one slot of `fast` until it is closed."""
    stream = chat(client, {"tokens": int(seconds * 50), "token_ms": 20}, stream=True)
    next(iter(stream))
    return stream


def test_a_request_waits_five_seconds_and_is_answered(gateway, client, mock):
    held = hold(client)
    call = Background(lambda: client.chat.completions.with_raw_response.create(
        model="fast", messages=[{"role": "user", "content": "hi"}], extra_body={"mock": {"tokens": 3}}))
    until("it waits", lambda: waiting(gateway) == 1, 5)
    time.sleep(5)
    assert call.is_alive() and len(mock.requests()) == 1
    held.close()
    answer = call.result(10)
    assert answer.status_code == 200
    assert int(answer.headers["x-sluice-queue-ms"]) >= 5000


def test_who_leaves_the_queue_is_gone_from_it(gateway, client, mock):
    held = hold(client)
    took = []
    for _ in range(10):
        process = subprocess.Popen(
            ["curl", "-sN", "--noproxy", "*", f"{gateway.url}/chat/completions", "-d", json.dumps(raw.HELLO),
             "-H", f"authorization: Bearer {gateway.secret()}"], stdout=subprocess.DEVNULL)
        until("it waits", lambda: waiting(gateway) == 1, 5)
        process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        while waiting(gateway):
            assert time.monotonic() - began < 5, "it waits for a client that is gone"
            time.sleep(0.002)
        took.append((time.monotonic() - began) * 1000)
        process.wait()
    held.close()
    assert len(mock.requests()) == 1
    print(f"\n| a client that left the queue is gone after (ms, 10 times) | median {statistics.median(took):.0f} | most {max(took):.0f} |")


def test_a_replica_that_is_killed_loses_no_queued_request(pair, mock):
    first, second, envoy = pair
    secret = first.secret()
    # Each replica has its own slot here: both are taken, so that whatever comes waits.
    direct = [hold(client_of(server.front_port, secret)) for server in (first, second)]
    client = client_of(envoy.port, secret)
    calls = [Background(lambda: chat(client, {"tokens": 3})) for _ in range(8)]
    until("all of them wait", lambda: waiting(first) + waiting(second) == 8, 10)
    victim, other = (first, second) if waiting(first) else (second, first)
    lost = waiting(victim)
    victim.child.kill()
    victim.child.wait()
    until("they wait at the other one", lambda: waiting(other) == 8, 10)
    for stream in direct:
        stream.close()
    for call in calls:
        assert call.result().choices[0].message.content
    assert lost > 0
    # Two streams that held the slots, eight calls: none was made twice.
    assert len(mock.requests()) == 10


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_drain_cuts_nothing_and_lets_nothing_past(pair, mock, replicas):
    first, second, envoy = pair
    secret, streams = first.secret(), 200
    if replicas == 1:
        second.child.kill()
        second.child.wait()
        until("one replica is left", lambda: envoy.stat("cluster.sluice.membership_healthy") == 1, 20)
    results, late = asyncio.run(drain(envoy, secret, streams, first))
    assert results == ["whole"] * streams, {result: results.count(result) for result in results}
    expected = {"503"} if replicas == 1 else {"200"}
    assert set(late) == expected, {status: late.count(status) for status in late}
    assert first.child.wait(20) == 0, first.tail()
    # A request that went past the gateway would carry the client's key and model.
    received = mock.requests()
    assert all(secret not in json.dumps(entry.headers) for entry in received)
    assert all(entry.body["model"] == "gpt-4o-mini" for entry in received)
    print(f"\n| drained with {replicas} replica(s) | {streams} streams, {len(results) - results.count('whole')} cut "
          f"| {len(late)} late requests: {sorted(set(late))} |")


async def drain(envoy, secret, streams, victim):
    client = openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{envoy.port}/v1", api_key=secret, max_retries=0, timeout=60)
    begun = asyncio.Semaphore(0)

    async def one():
        stream = await chat(client, {"tokens": 60, "token_ms": 100}, stream=True, model="wide")
        count = 0
        finish = None
        async for chunk in stream:
            count += 1
            if count == 1:
                begun.release()
            finish = chunk.choices[0].finish_reason or finish
        return "whole" if finish == "stop" else f"cut after {count}"

    async def after():
        try:
            await chat(client, {"tokens": 1}, model="wide")
            return "200"
        except openai.APIStatusError as error:
            return str(error.status_code)

    running = [asyncio.create_task(one()) for _ in range(streams)]
    for _ in range(streams):
        await asyncio.wait_for(begun.acquire(), 60)
    victim.child.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    late = []
    for _ in range(20):
        late.append(await after())
        await asyncio.sleep(0.05)
    return await asyncio.gather(*running), late


def test_gaps_between_chunks_are_the_providers(gateway, mock):
    """No buffering anywhere: printed beside the provider's own, over the same kind of client."""
    rows = []
    for name, base, secret, model in (
        ("provider", mock.url, "x", "gpt-4o-mini"),
        ("Sluice", f"http://127.0.0.1:{gateway.front_port}", gateway.secret(), "wide"),
        ("Envoy and Sluice", f"http://127.0.0.1:{gateway.port}", gateway.secret(), "wide"),
    ):
        client = openai.OpenAI(base_url=f"{base}/v1", api_key=secret, max_retries=0, timeout=30)
        stream = chat(client, {"tokens": 60, "token_ms": 30}, stream=True, model=model)
        times = [time.monotonic() for chunk in stream if chunk.choices]
        gaps = sorted((b - a) * 1000 for a, b in zip(times[1:], times[2:]))
        assert len(gaps) >= 55
        rows.append((name, gaps))
        # A buffer would show as many gaps of nothing and one long one.
        assert sum(gap < 5 for gap in gaps) < len(gaps) / 4, gaps
    print("\n| gap between chunks, provider sends every 30 ms | median | p95 | most |\n|---|---|---|---|")
    for name, gaps in rows:
        print(f"| {name} | {gaps[len(gaps) // 2]:.1f} ms | {gaps[int(len(gaps) * 0.95)]:.1f} ms | {gaps[-1]:.1f} ms |")
