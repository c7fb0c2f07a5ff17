"""What AWS's own signer for Python signs, hako takes; what was changed afterwards, it refuses.

    botocore_test.py VERIFY_TOOL
"""
import base64
import datetime
import json
import random
import subprocess
import sys
import unittest
from unittest import mock

try:
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print("python3-botocore is not installed")
    sys.exit(77)

KEY_ID, SECRET = "AKHKTESTTESTTESTTEST", "secret/with+signs=and/slashes/0123456789"
SEED = 20150830
ROUNDS = 400
NOW = datetime.datetime(2026, 2, 28, 23, 59, 30, tzinfo=datetime.timezone.utc)
SEGMENTS = [
    "2015-03-31", "functions", "echo", "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction",
    "%24LATEST", "a%20b", "a:b", "a@b", "~", "%C3%A9", "%e2%82%ac", "(x)", "a*b", "!'", "..", ".",
    "",
    "a%2Fb", "+", "a=b", "a,b", "%25", "100%25",
]
# Bytes as clients send them: encoded, or plainly wrong.
QUERY_KEYS = [
    "Qualifier", "Marker", "MaxItems", "tagKeys", "a", "A", "a-b", "a%20b", "%C3%A9", "b~",
]
QUERY_VALUES = [
    "", "1", "50", "%24LATEST", "a%20b", "%2B", "%3D%3D", "x%2Fy", "%E2%82%AC", "Z", "~.-_",
]
HEADERS = [
    "X-Amz-Invocation-Type", "X-Amz-Log-Type", "X-Amz-Client-Context", "Content-Type", "X-Custom",
    "Accept", "amz-sdk-invocation-id", "X-Amz-Meta",
]
VALUES = [
    "Event", "Tail", "  two  spaces  ", "a,b", "x" * 300, "\tq=1;  \t v", '"quo  ted"', "e30=",
]
BODIES = [b"", b"{}", b'{"a": "\xc3\xa9"}', bytes(range(256)), b"x" * 70_000]


class FixedTime(datetime.datetime):
    """botocore asks this class for the time."""

    @classmethod
    def utcnow(cls):
        return NOW.replace(tzinfo=None)

    @classmethod
    def now(cls, tz=None):
        return NOW.astimezone(tz) if tz else NOW.replace(tzinfo=None)


def plain(text) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Tool:
    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [path, KEY_ID, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.session = self.process.stdout.readline().split()

    def verdict(self, request: dict) -> str:
        line = {
            "method": request["method"], "target": plain(request["target"]),
            "headers": [{"name": plain(n), "value": plain(v)} for n, v in request["headers"]],
            "body": plain(request["body"]), "now": request.get("now", int(NOW.timestamp())),
        }
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        self.process.communicate()


def random_request(source: random.Random) -> AWSRequest:
    path = "/" + "/".join(source.choices(SEGMENTS, k=source.randint(0, 5)))
    query = "&".join(
        source.choice(QUERY_KEYS) + "=" + source.choice(QUERY_VALUES)
        for _ in range(source.randint(0, 5))
    )
    url = "http://127.0.0.1:9000" + path + ("?" + query if query else "")
    method = source.choice(["GET", "POST", "PUT", "DELETE"])
    request = AWSRequest(method=method, url=url, data=source.choice(BODIES))
    for _ in range(source.randint(0, 4)):
        request.headers.add_header(source.choice(HEADERS), source.choice(VALUES))
    return request


def sent(request: AWSRequest) -> dict:
    """The request as it goes over the wire."""
    target = request.url.split("127.0.0.1:9000", 1)[1]
    headers = [(name, value) for name, value in request.headers.items()]
    headers.append(("Host", "127.0.0.1:9000"))
    return {"method": request.method, "target": target, "headers": headers, "body": request.data}


class SignedByBotocore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = Tool(sys.argv[1])
        cls.source = random.Random(SEED)
        patches = [mock.patch.object(botocore.auth.datetime, "datetime", FixedTime)]
        if hasattr(botocore.auth, "get_current_datetime"):
            patches.append(mock.patch.object(
                botocore.auth, "get_current_datetime", lambda **_: NOW.replace(tzinfo=None)))
        for patch in patches:
            patch.start()
            cls.addClassCleanup(patch.stop)

    @classmethod
    def tearDownClass(cls):
        cls.tool.close()

    def signer(self, kind, session=False, **options):
        credentials = Credentials(*(self.tool.session if session else (KEY_ID, SECRET)))
        return kind(credentials, "lambda", "us-east-1", **options)

    def check(self, kind, session=False, **options):
        refused_count = 0
        for number in range(ROUNDS):
            request = random_request(self.source)
            if kind is botocore.auth.SigV4QueryAuth:
                request.data = b""  # botocore would move it to the query
            self.signer(kind, session, **options).add_auth(request)
            wire = sent(request)
            shown = {name: wire[name] for name in ("method", "target", "headers")}
            with self.subTest(number=number, **shown):
                self.assertRegex(self.tool.verdict(wire), "^ok arn:aws:")
                changed = self.changed(wire)
                verdict = self.tool.verdict(changed)
                self.assertRegex(verdict, "^(InvalidSignature|IncompleteSignature)Exception")
                refused_count += 1
        self.assertEqual(refused_count, ROUNDS)

    def changed(self, wire: dict) -> dict:
        """One thing is not as it was signed."""
        kind = self.source.choice(["method", "path", "query", "host", "body"])
        wire = dict(wire)
        path, mark, query = wire["target"].partition("?")
        if kind == "method":
            wire["method"] = "PATCH"
        elif kind == "path":
            wire["target"] = path.rstrip("/") + "/added" + mark + query
        elif kind == "query":
            wire["target"] = path + "?added=1" + ("&" + query if query else "")
        elif kind == "host":
            wire["headers"] = [
                (n, "127.0.0.1:9001" if n == "Host" else v) for n, v in wire["headers"]
            ]
        else:
            wire["body"] = wire["body"] + b" "
        return wire

    def test_headers(self):
        self.check(botocore.auth.SigV4Auth)

    def test_headers_with_a_session(self):
        self.check(botocore.auth.SigV4Auth, session=True)

    def test_presigned(self):
        self.check(botocore.auth.SigV4QueryAuth, expires=60)

    def test_presigned_with_a_session(self):
        self.check(botocore.auth.SigV4QueryAuth, session=True, expires=60)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
