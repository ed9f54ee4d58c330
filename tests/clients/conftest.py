"""Fixtures: one mock provider for the run, one gateway per module, and what must hold after every test."""

import os

import openai
import pytest

from gateway import DOOR, Gateway, Mock

# The gateway is on this machine: no proxy of the environment may stand between.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"

RUNNING = []


@pytest.fixture(scope="session")
def mock(tmp_path_factory):
    try:
        server = Mock(tmp_path_factory.mktemp("mock"))
    except RuntimeError as error:
        # Not two hundred times the same error.
        pytest.exit(str(error), returncode=1)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(request, mock, tmp_path_factory):
    """The gateway of a module, made from its TENANTS, LIMITS, TIMEOUTS, FORMATS and CACHE."""
    module = request.module
    server = Gateway(
        tmp_path_factory.mktemp(module.__name__),
        mock,
        module.TENANTS,
        limits=getattr(module, "LIMITS", None),
        timeouts=getattr(module, "TIMEOUTS", None),
        formats=getattr(module, "FORMATS", None),
        cache=getattr(module, "CACHE", None),
    )
    RUNNING.append(server)
    yield server
    RUNNING.remove(server)
    code = server.stop()
    assert code == 0, f"sluice ended with {code}\n{server.tail()}"
    assert b"panicked" not in server.output(), server.tail(300)
    assert server.leaked() == [], "parts of these keys are in the output of sluice"


@pytest.fixture
def port(gateway):
    return gateway.port


@pytest.fixture
def secret(gateway):
    return gateway.secret()


@pytest.fixture
def connect(gateway):
    """Makes clients, by the name of a key or with a string that is none; they do not retry unless told to."""
    made = []

    def make(name="main", **options):
        secret = gateway.secret(name) if name in gateway.keys else name
        options = {"api_key": secret, "max_retries": 0, "timeout": 15} | options
        made.append(openai.OpenAI(base_url=gateway.url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture(autouse=True)
def nothing_left_open(gateway, mock):
    """Every test begins with an empty record at the provider and ends with every lease settled."""
    mock.reset()
    yield
    gateway.wait_settled()


def pytest_collection_modifyitems(config, items):
    """Tests marked `front` are about the gateway's own HTTP: behind Envoy it is Envoy's that a client meets."""
    others = {"front": ["envoy"], "envoy": ["front"], "steer": ["front", "envoy", "serve"]}[DOOR]
    left_out = [item for item in items if any(item.get_closest_marker(other) for other in others)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_report_header():
    return f"door: {DOOR}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for server in RUNNING:
            report.sections.append(("gateway", server.tail()))
    return report
