"""A real nginx in front of function URLs, with the configuration of docs/nginx.md."""
import concurrent.futures
import json
import os
import pathlib
import unittest

from support import leaks
from support.engine import SOURCE_ROOT, Engine, built_function
from support.ledger import read_ledger
from support.web import NGINX, Nginx, ask, free_port

DOCS = pathlib.Path(SOURCE_ROOT) / "docs"
EXAMPLE = pathlib.Path(SOURCE_ROOT) / "examples" / "web-app" / "app.py"
ECHO_BODY = """
def handler(event, context):
    body = event.get("body", "")
    if not event["isBase64Encoded"]:
        body = base64.b64encode(body.encode()).decode()
    return {"statusCode": 200, "headers": {"content-type": "application/octet-stream"},
            "body": body, "isBase64Encoded": True}
"""


def configuration(folder: str, port: int, upstream: str) -> str:
    """docs/nginx.conf with what its HERE marks changed."""
    text = (DOCS / "nginx.conf").read_text()
    text = text.replace("/run/nginx.pid", f"{folder}/nginx.pid")
    text = text.replace("/var/lib/nginx/", f"{folder}/")
    text = text.replace("unix:/run/hako/http.sock", upstream)
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    # One more host name for each function of the tests.
    text = text.replace("proxy_pass http://hako/url/web-app$request_uri;",
                        "proxy_pass http://hako/url/$site$request_uri;")
    names = "map $host $site { default web-app; ~^(?<name>[a-z]+)\\.site$ $name; }"
    text = text.replace("    # The engine's HTTP", f"    {names}\n    # The engine's HTTP", 1)
    # Only this test's: workers of the user who runs it, in the foreground.
    return f"daemon off;\nuser root;\n{text}"


@unittest.skipIf(NGINX is None, "nginx is not installed")
class OverTcp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hako_port, port = free_port(), free_port()
        cls.engine = Engine(http=f"127.0.0.1:{cls.hako_port}", http_auth="off")
        cls.engine.start()
        cls.addClassCleanup(cls.engine.destroy)
        cls.make_functions()
        folder = os.path.join(cls.engine.scratch, "nginx")
        files = {"nginx.conf": configuration(folder, port, cls.upstream()),
                 "hako_proxy.conf": (DOCS / "hako_proxy.conf").read_text()}
        cls.nginx = Nginx(folder, files, port)
        cls.nginx.__enter__()
        cls.addClassCleanup(cls.nginx.__exit__)

    @classmethod
    def tearDownClass(cls):
        cls.engine.stop()

    @classmethod
    def upstream(cls):
        return f"127.0.0.1:{cls.hako_port}"

    @classmethod
    def make_functions(cls):
        cls.engine.create("web-app", {"app.py": EXAMPLE.read_text()}, handler="app.handler")
        cls.engine.create_python("echo", ECHO_BODY)
        cls.engine.create(
            "site", {"libsite.so": built_function("libsite.so")}, runtime="native",
            handler="libsite.so", Timeout=60,
        )
        for name, mode in (("web-app", "BUFFERED"), ("echo", "BUFFERED"),
                           ("site", "RESPONSE_STREAM")):
            made = cls.engine.control("CreateFunctionUrlConfig", {
                "FunctionName": name, "AuthType": "NONE", "InvokeMode": mode,
            })
            assert made.status == 201, made.payload

    def ask(self, method, path, body=None, /, **headers):
        connection = self.nginx.connect()
        self.addCleanup(connection.close)
        return ask(connection, method, path, body, **headers)


    def test_a_web_application(self):
        page = self.ask("GET", "/", host="www.example.com")
        self.assertEqual(page.status, 200)
        self.assertEqual(page.header("content-type"), "text/html; charset=utf-8")
        self.assertIn(b'action="/sign"', page.body)
        signed = self.ask("POST", "/sign", b"name=Zo%C3%AB",
                          content_type="application/x-www-form-urlencoded", host="www.example.com")
        self.assertEqual((signed.status, signed.header("location")), (303, "/"))
        self.assertEqual(len(signed.cookies()), 2)
        picture = self.ask("GET", "/flag.png")
        self.assertEqual(picture.body[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(self.ask("HEAD", "/flag.png").body, b"")
        self.assertEqual(self.ask("GET", "/none").status, 404)

    def test_the_event_says_what_the_client_said(self):
        page = self.ask(
            "GET", "/a%2Fb//c/../d%20e?x=%2F&x", host="site.site", user_agent="test",
            x_forwarded_for="6.6.6.6", x_forwarded_prefix="/evil",
        )
        event = json.loads(page.body)
        self.assertEqual(event["rawPath"], "/a%2Fb//c/../d%20e")
        self.assertEqual(event["rawQueryString"], "x=%2F&x")
        self.assertEqual(event["requestContext"]["domainName"], "site.site")
        self.assertEqual(event["requestContext"]["http"]["userAgent"], "test")
        self.assertEqual(event["headers"]["x-forwarded-for"], "6.6.6.6, 127.0.0.1")
        self.assertEqual(event["headers"]["x-forwarded-proto"], "http")
        self.assertEqual(event["headers"]["x-forwarded-port"], str(self.nginx.port))
        self.assertNotIn("x-forwarded-prefix", event["headers"])
        self.assertNotIn("connection", event["headers"])

    def test_large_bodies_both_ways(self):
        body = os.urandom(4_500_000)
        page = self.ask("POST", "/", body, host="echo.site", content_type="image/png")
        self.assertEqual(page.status, 200)
        self.assertTrue(page.body == body, "other bytes than were sent")
        page = self.ask("POST", "/", bytes(7_000_000), host="echo.site", content_type="text/plain")
        self.assertEqual(page.status, 413)
        page = self.ask("GET", "/large", host="site.site")
        self.assertEqual((page.status, len(page.body)), (201, 8 << 20))

    def test_parts_arrive_one_by_one_and_leaving_ends_the_call(self):
        before = sum(record.outcome == "client_gone" for record in read_ledger(self.engine.state))
        connection = self.nginx.connect()
        connection.request("GET", "/hang", headers={"host": "site.site"})
        answer = connection.getresponse()
        self.assertEqual(answer.read1(), b"first ")
        self.assertEqual(self.engine.status()["InFlight"], 1)
        answer.close()
        connection.close()
        leaks.eventually(lambda: self.engine.status()["InFlight"] == 0, "the call ends", 15)
        after = sum(record.outcome == "client_gone" for record in read_ledger(self.engine.state))
        self.assertEqual(after, before + 1)

    def test_a_stream_that_breaks_off_is_seen(self):
        with self.assertRaises(Exception) as raised:
            self.ask("GET", "/break", host="site.site")
        self.assertIn(type(raised.exception).__name__, ("IncompleteRead", "ConnectionResetError"))

    def test_websockets_are_refused(self):
        page = self.ask("GET", "/", host="site.site", connection="Upgrade", upgrade="websocket",
                        sec_websocket_key="eA==", sec_websocket_version="13")
        self.assertEqual(page.status, 501)

    def test_connections_are_kept(self):
        connection = self.nginx.connect()
        self.addCleanup(connection.close)
        self.assertEqual(ask(connection, "GET", "/", host="site.site").status, 200)
        sockets = self.upstream_sockets()
        for _ in range(200):
            self.assertEqual(ask(connection, "GET", "/", host="site.site").status, 200)
        self.assertEqual(self.upstream_sockets(), sockets)
        self.assertTrue(sockets)

    def upstream_sockets(self) -> set[str]:
        """The connections between nginx and the engine, by what the kernel calls them."""
        children = leaks.children_of(self.nginx.process.pid)
        found = set()
        for pid in children:
            for name in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:") and self.is_upstream(target[8:-1]):
                    found.add(target)
        return found

    def is_upstream(self, inode: str) -> bool:
        wanted = f"{0x0100007F:08X}:{self.hako_port:04X}"
        for line in leaks.read_text("/proc/net/tcp").splitlines()[1:]:
            fields = line.split()
            if fields[2] == wanted and fields[9] == inode:
                return True
        return False

    def test_64_connections_without_an_error(self):
        def client(number: int) -> int:
            connection = self.nginx.connect()
            good = 0
            for turn in range(20):
                page = ask(connection, "GET", f"/{number}/{turn}", host="site.site")
                event = json.loads(page.body)
                good += page.status == 200 and event["rawPath"] == f"/{number}/{turn}"
            connection.close()
            return good

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            self.assertEqual(sum(pool.map(client, range(64))), 64 * 20)
        self.assertNotIn("[error]", self.nginx.log().replace("prematurely closed", ""))


class OverAUnixSocket(OverTcp):
    @classmethod
    def upstream(cls):
        return f"unix:{cls.engine.scratch}/http.sock"

    def is_upstream(self, inode: str) -> bool:
        # /proc/net/unix names the listening side only: any connected stream socket of a worker
        # that is no socket pair with the master is one.
        for line in leaks.read_text("/proc/net/unix").splitlines()[1:]:
            fields = line.split()
            if fields[6] == inode:
                return fields[4] == "0001" and fields[5] == "03" and len(fields) == 7
        return False


if __name__ == "__main__":
    unittest.main()
