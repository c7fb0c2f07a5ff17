"""The HTTP front door with real sockets: requests, connections, limits, drain, and stock clients."""
import base64
import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import unittest

from support import leaks
from support.engine import ROLE, Engine, zip_of
from support.http import invoke_bytes, invoke_path, request_bytes
from support.ledger import read_ledger

ECHO = """
import threading
def handler(event, context):
    if "wait_s" in event:
        threading.Event().wait(event["wait_s"])
    if "bytes" in event:
        return "x" * event["bytes"]
    if "fail" in event:
        raise ValueError(event["fail"])
    custom = context.client_context.custom if context.client_context else None
    return {"event": event, "arn": context.invoked_function_arn, "custom": custom,
            "id": context.aws_request_id, "trace": __import__("os").environ.get("_X_AMZN_TRACE_ID")}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def http_engine(**settings):
    """An engine with TCP on both loopbacks; `engine.port` is where."""
    port = free_port()
    engine = Engine(http=f"localhost:{port}", **settings)
    engine.port = port
    return engine


class Invoking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.engine = cls.stack.enter_context(http_engine())
        cls.engine.create_python("echo", ECHO, Timeout=30)
        cls.addresses = [cls.engine.http_path, ("127.0.0.1", cls.engine.port),
                         ("::1", cls.engine.port)]

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def test_an_event_comes_back_over_each_transport(self):
        for address in self.addresses:
            with self.engine.http(address) as client:
                answer = client.invoke("echo", b'{"a": 1}')
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(answer.json["event"], {"a": 1})
                self.assertEqual(answer.headers["x-amz-executed-version"], "$LATEST")
                self.assertEqual(answer.headers["content-type"], "application/json")
                self.assertEqual(answer.headers["x-amzn-requestid"], answer.json["id"])
                self.assertRegex(answer.headers["x-amzn-trace-id"],
                                 r"^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0$")
                self.assertNotIn("x-amz-function-error", answer.headers)

    def test_no_body_is_an_empty_event(self):
        with self.engine.http() as client:
            self.assertEqual(client.invoke("echo", b"").json["event"], {})
            self.assertEqual(client.ask("POST", invoke_path("echo")).json["event"], {})

    def test_names_arrive_encoded(self):
        arn = "arn:aws:lambda:us-east-1:123456789012:function:echo"
        for name in ("echo%3A%24LATEST", arn.replace(":", "%3A"), "e%63ho", arn):
            with self.engine.http() as client:
                self.assertEqual(client.invoke(name, b"{}").status, 200, name)
        with self.engine.http() as client:
            answer = client.ask("POST", invoke_path("echo") + "?Qualifier=%24LATEST", b"{}")
            self.assertEqual(answer.status, 200)
            self.assertEqual(client.ask("POST", invoke_path("a%4"), b"{}").status, 400)

    def test_headers_choose_log_context_and_type(self):
        context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
        with self.engine.http() as client:
            answer = client.invoke("echo", b"{}", "x-amz-log-type: Tail",
                                   f"X-AMZ-CLIENT-CONTEXT: {context}")
            self.assertEqual(answer.json["custom"], {"k": "v"})
            log = base64.b64decode(answer.headers["x-amz-log-result"]).decode()
            self.assertIn(f"REPORT RequestId: {answer.json['id']}\t", log)
            dry = client.invoke("echo", b"{}", "X-Amz-Invocation-Type: DryRun")
            self.assertEqual((dry.status, dry.body), (204, b""))
            for header in ("X-Amz-Invocation-Type: Maybe", "X-Amz-Log-Type: x",
                           "X-Amz-Client-Context: %%%",
                           "X-Amz-Client-Context: " + "a" * 3584):
                self.assertEqual(client.invoke("echo", b"{}", header).status, 400, header)

    def test_a_failure_of_the_function_is_a_200_that_says_so(self):
        with self.engine.http() as client:
            answer = client.invoke("echo", b'{"fail": "no"}')
            self.assertEqual((answer.status, answer.headers["x-amz-function-error"]),
                             (200, "Unhandled"))
            self.assertEqual(answer.json["errorType"], "ValueError")

    def test_errors_have_lambdas_form(self):
        with self.engine.http() as client:
            unknown = client.invoke("nobody", b"{}")
            self.assertEqual((unknown.status, unknown.error_type),
                             (404, "ResourceNotFoundException"))
            self.assertIn("Function not found: arn:aws:lambda", unknown.message)
            bad = client.invoke("echo", b"{")
            self.assertEqual((bad.status, bad.error_type), (400, "InvalidRequestContentException"))
            route = client.ask("GET", "/2015-03-31/nothing")
            self.assertEqual((route.status, route.error_type), (404, "UnknownOperationException"))
            method = client.ask("PATCH", "/2015-03-31/functions/echo")
            self.assertEqual((method.status, method.headers["allow"]), (405, "GET, DELETE"))
        with self.engine.http(self.addresses[1]) as client:
            page = client.invoke("echo", b"{}", "Origin: http://evil.test")
            self.assertEqual(page.status, 403)  # it reaches loopback too, and cannot sign

    def test_large_events_and_answers_pass(self):
        event = json.dumps({"pad": "p" * 6_000_000}).encode()
        with self.engine.http(self.addresses[1]) as client:
            answer = client.invoke("echo", event)
            self.assertEqual(answer.status, 200)
            self.assertEqual(len(answer.json["event"]["pad"]), 6_000_000)

    def test_chunks_and_pieces_make_the_same_event(self):
        with self.engine.http() as client:
            head = request_bytes("POST", invoke_path("echo"), None, "Transfer-Encoding: chunked")
            for piece in (head[:20], head[20:], b"5;x=y\r\n{\"a\":\r\n", b"2\r", b"\n1}\r\n0",
                          b"\r\n\r\n"):
                client.send(piece)
            self.assertEqual(client.receive().json["event"], {"a": 1})

    def test_100_continue_is_sent_where_the_body_is_waited_for(self):
        with self.engine.http() as client:
            client.send(request_bytes("POST", invoke_path("echo"), None, "Expect: 100-continue",
                                      "Content-Length: 8"))
            self.assertEqual(client._until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
            client.send(b'{"a": 1}')
            self.assertEqual(client.receive().json["event"], {"a": 1})
        with self.engine.http() as client:
            client.send(request_bytes("POST", invoke_path("echo"), None, "Expect: 100-continue",
                                      "Content-Length: 7000000"))
            refused = client.receive()
            self.assertEqual((refused.status, refused.interim), (413, []))

    def test_pipelined_requests_are_answered_in_order(self):
        with self.engine.http() as client:
            events = [b'{"wait_s": 0.2, "n": 0}'] + [b'{"n": %d}' % n for n in range(1, 20)]
            client.send(b"".join(invoke_bytes("echo", event) for event in events))
            numbers = [client.receive().json["event"]["n"] for _ in events]
            self.assertEqual(numbers, list(range(20)))

    def test_head_options_and_old_versions(self):
        with self.engine.http() as client:
            self.assertEqual(client.ask("GET", "/healthz").body, b"ok\n")
            head = client.ask("HEAD", "/healthz")
            self.assertEqual((head.status, head.headers["content-length"]), (200, "3"))
            self.assertEqual(client.ask("OPTIONS", "/healthz").status, 204)
            self.assertEqual(client.ask("POST", "/healthz", b"").status, 405)
            metrics = client.ask("GET", "/metrics").body
            self.assertIn(b'hako_invocations_total{outcome="ok"}', metrics)
            self.assertIn("Metrics", client.ask("GET", "/status").json)
        with self.engine.http() as client:
            client.send(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual(client.receive("GET").headers["connection"], "keep-alive")
            client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertEqual(client.receive("GET").headers["connection"], "close")
            self.assertEqual(client.read_to_end(), b"")

    def test_what_is_no_http_is_refused_and_closed(self):
        both = (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n")
        for junk, status in ((b"\x16\x03\x01\r\n\r\n", 400), (both, 400),
                             (b"GET / HTTP/1.1\n\n", 400), (b"GET /" + b"a" * 20000, 414)):
            with self.engine.http() as client:
                client.send(junk)
                answer = client.receive()
                self.assertEqual((answer.status, answer.headers["connection"]), (status, "close"))
                self.assertEqual(answer.error_type, "BadRequestException")
                self.assertEqual(client.read_to_end(), b"")

    def test_bodies_over_the_limit_are_refused_while_they_come(self):
        body = b"[" + b" " * 8_000_000
        for address in self.addresses[:2]:
            with self.engine.http(address) as client:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(request_bytes("POST", invoke_path("echo"), body))
                answer = client.receive()
                self.assertEqual((answer.status, answer.error_type),
                                 (413, "RequestEntityTooLargeException"))
                self.assertEqual(answer.message, "Request must be smaller than 6291456 bytes for "
                                                 "the InvokeFunction operation")


class Connections(unittest.TestCase):
    def test_slow_heads_bodies_and_idle_ones_end(self):
        limits = {"http_header_timeout_s": 1, "http_body_timeout_s": 1, "http_idle_timeout_s": 2}
        with http_engine(**limits) as engine:
            with engine.http() as head, engine.http() as body, engine.http() as idle:
                head.send(b"GET / HT")
                body.send(request_bytes("POST", invoke_path("x"), None, "Content-Length: 9") + b"{")
                self.assertEqual(head.receive().status, 408)
                self.assertEqual(body.receive().status, 408)
                self.assertEqual(idle.read_to_end(), b"")

    def test_a_client_that_does_not_read_is_cut_off(self):
        with Engine(http_write_timeout_s=1, http_slow_bytes_per_s=1_000_000) as engine:
            engine.create_python("echo", ECHO)
            with engine.http() as client:
                client.send(invoke_bytes("echo", b'{"bytes": 400000}'))
                leaks.eventually(lambda: engine.status()["Metrics"]["HttpConnections"] == 0,
                                 "the connection is closed", 30)
                self.assertLess(len(client.read_to_end()), 400000)

    def test_a_client_that_leaves_ends_its_invocation(self):
        with http_engine() as engine:
            engine.create_python("echo", ECHO, Timeout=60)
            for address in (engine.http_path, ("127.0.0.1", engine.port)):
                with engine.http(address) as client:
                    client.send(invoke_bytes("echo", b'{"wait_s": 50}'))
                    leaks.eventually(lambda: engine.status()["InFlight"] == 1, "it runs")
                leaks.eventually(lambda: engine.status()["InFlight"] == 0, "it has ended")
            outcomes = [record.outcome for record in read_ledger(engine.state)]
            self.assertEqual(outcomes.count("client_gone"), 2, outcomes)

    def test_a_client_that_only_ends_its_sending_gets_its_answer(self):
        with http_engine() as engine:
            engine.create_python("echo", ECHO)
            with engine.http() as client:
                client.send(invoke_bytes("echo", b'{"wait_s": 0.1}'))
                client.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(client.receive().status, 200)
                self.assertEqual(client.read_to_end(), b"")

    def test_ten_thousand_idle_connections_cost_little(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = 10_000 if os.environ.get("HAKO_TEST_LONG") else 2_000
        if hard < count + 100:
            self.skipTest(f"needs {count} descriptors, may open {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
        # meson sets it: malloc then fills, and so touches, memory that nobody uses.
        os.environ.pop("MALLOC_PERTURB_", None)
        with http_engine() as engine:
            engine.create_probe("probe")
            pid = engine.process.pid
            with engine.http() as client:
                self.assertEqual(client.invoke("probe", b'{"do":"ok"}').status, 200)
            before = leaks.rss_kib(pid)
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(engine.http(("127.0.0.1", engine.port)))
                           for _ in range(count)]
                for client in clients:
                    client.send(request_bytes("GET", "/healthz"))
                for client in clients:
                    self.assertEqual(client.receive("GET").status, 200)
                each = (leaks.rss_kib(pid) - before) / count
                self.assertEqual(engine.status()["Metrics"]["HttpConnections"], count)
                self.assertLess(each, 4, "KiB of each idle connection")
                self.assertEqual(clients[0].invoke("probe", b'{"do":"ok"}').status, 200)
                print(f"# {count} idle connections, {each:.2f} KiB each", flush=True)

    def test_connections_beyond_the_limit_are_closed(self):
        with Engine(http_connections_max=2) as engine:
            with engine.http() as one, engine.http() as two, engine.http() as three:
                self.assertEqual(one.ask("GET", "/healthz").status, 200)
                self.assertEqual(two.ask("GET", "/healthz").status, 200)
                self.assertEqual(three.read_to_end(), b"")

    def test_requests_beyond_the_limit_are_throttled(self):
        with Engine(requests_max=1) as engine:
            engine.create_python("echo", ECHO, Timeout=30)
            with engine.http() as first, engine.http() as second:
                first.send(invoke_bytes("echo", b'{"wait_s": 1}'))
                leaks.eventually(lambda: engine.status()["InFlight"] == 1, "it runs")
                refused = second.ask("GET", "/healthz")
                self.assertEqual((refused.status, refused.error_type),
                                 (429, "TooManyRequestsException"))
                self.assertEqual(first.receive().status, 200)


class Draining(unittest.TestCase):
    def test_what_runs_is_finished_and_the_connection_closed(self):
        with http_engine() as engine:
            engine.create_python("echo", ECHO, Timeout=30)
            address = ("127.0.0.1", engine.port)
            with engine.http(address) as runs, engine.http(address) as idle, \
                    engine.http(address) as begun:
                self.assertEqual(idle.ask("GET", "/healthz").status, 200)
                runs.send(invoke_bytes("echo", b'{"wait_s": 1}'))
                begun.send(b"GET /health")
                leaks.eventually(lambda: engine.status()["InFlight"] == 1, "it runs")
                engine.signal(signal.SIGTERM)
                self.assertEqual(begun.receive().status, 503)
                self.assertEqual(idle.read_to_end(), b"")
                with self.assertRaises(ConnectionRefusedError):
                    engine.http(address)
                answer = runs.receive()
                self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
                self.assertEqual(runs.read_to_end(), b"")
            self.assertEqual(engine.wait(), 0)


class Activation(unittest.TestCase):
    def test_systemd_passes_both_sockets_by_name(self):
        engine = Engine()
        with contextlib.ExitStack() as stack:
            stack.callback(engine.destroy)
            sockets = {}
            for name, path in (("hako.socket", engine.socket_path),
                               ("hako-http.socket", engine.http_path)):
                listener = stack.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(path)
                os.chmod(path, 0o666)
                listener.listen()
                sockets[name] = listener
            tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            sockets["web"] = tcp
            self.start_activated(engine, sockets)
            self.assertEqual(engine.status()["InFlight"], 0)
            for address in (engine.http_path, tcp.getsockname()):
                with engine.http(address) as client:
                    self.assertEqual(client.ask("GET", "/healthz").status, 200)
            engine.stop()
            self.assertTrue(os.path.exists(engine.http_path), "systemd goes on listening")


    def start_activated(self, engine, sockets):
        """As systemd does: from descriptor 3 on, with names; LISTEN_PID is the engine's own."""
        notify_path = os.path.join(engine.scratch, "notify.sock")
        passed = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for listener in sockets.values()]
        self.addCleanup(lambda: [os.close(fd) for fd in passed])
        moves = " ".join(f'{3 + number}<&{fd}' for number, fd in enumerate(passed))
        script = f'exec {moves}; LISTEN_PID=$$ exec "$@"'
        plain = engine.command()
        engine.command = lambda: ["/bin/bash", "-c", script, "bash", *plain]
        environment = dict(os.environ, NOTIFY_SOCKET=notify_path, LISTEN_FDS=str(len(passed)),
                           LISTEN_FDNAMES=":".join(sockets))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(notify_path)
            os.chmod(notify_path, 0o666)
            engine.spawn(env=environment, pass_fds=passed)
            engine.await_ready(notify)


class StockClients(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.engine = self.stack.enter_context(http_engine())
        self.url = f"http://127.0.0.1:{self.engine.port}"
        self.zip = zip_of({"main.py": ECHO})

    def test_boto3_creates_invokes_lists_and_deletes(self):
        import boto3  # noqa: PLC0415 (Debian's, only here)
        client = boto3.client("lambda", endpoint_url=self.url, region_name="us-east-1",
                              aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret")
        made = client.create_function(FunctionName="f", Runtime="python3.11", Role=ROLE,
                                      Handler="main.handler", Code={"ZipFile": self.zip})
        self.assertEqual(made["ResponseMetadata"]["HTTPStatusCode"], 201)
        client.get_waiter("function_active").wait(FunctionName="f")
        context = base64.b64encode(b'{"custom":{"k":"v"}}').decode()
        answer = client.invoke(FunctionName="f", Payload=b'{"a":1}', LogType="Tail",
                               ClientContext=context)
        payload = json.loads(answer["Payload"].read())
        self.assertEqual((payload["event"], payload["custom"]), ({"a": 1}, {"k": "v"}))
        self.assertIn(b"START RequestId", base64.b64decode(answer["LogResult"]))
        self.assertEqual([f["FunctionName"] for f in client.list_functions()["Functions"]], ["f"])
        with self.assertRaises(client.exceptions.ResourceNotFoundException):
            client.get_function(FunctionName="nobody")
        client.delete_function(FunctionName="f")
        self.assertEqual(client.list_functions()["Functions"], [])

    def aws(self, *arguments):
        environment = {"PATH": "/usr/bin:/bin", "HOME": self.engine.scratch,
                       "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
                       "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": ""}
        done = subprocess.run(
            ["/usr/bin/aws", "--endpoint-url", self.url, "--output", "json", "lambda", *arguments],
            env=environment, capture_output=True, timeout=60 * leaks.TIME_SCALE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout or b"{}")

    def test_the_aws_cli_creates_invokes_lists_and_deletes(self):
        package = os.path.join(self.engine.scratch, "f.zip")
        out = os.path.join(self.engine.scratch, "out.json")
        with open(package, "wb") as file:
            file.write(self.zip)
        self.aws("create-function", "--function-name", "f", "--runtime", "python3.11",
                 "--role", ROLE, "--handler", "main.handler", "--zip-file", f"fileb://{package}")
        done = self.aws("invoke", "--function-name", "f", "--cli-binary-format",
                        "raw-in-base64-out", "--payload", '{"a": 1}', out)
        self.assertEqual((done["StatusCode"], done["ExecutedVersion"]), (200, "$LATEST"))
        with open(out, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["event"], {"a": 1})
        listed = self.aws("list-functions")["Functions"]
        self.assertEqual([function["FunctionName"] for function in listed], ["f"])
        self.aws("delete-function", "--function-name", "f")
