"""Where code comes from and goes to: buckets, the zip that is kept, publishing, garbage."""
import hashlib
import hmac
import http.server
import os
import re
import threading
import unittest
import urllib.parse

from support import leaks
from support.engine import ROLE, Engine, zip_of

ACCESS_KEY, SECRET_KEY = "AKIATEST", "secret/of+the=test"
ZIP = zip_of({"main.py": "def handler(event, context):\n    return 'from a bucket'\n"})


def sign(date: str, region: str, text: bytes) -> str:
    key = ("AWS4" + SECRET_KEY).encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


class BucketServer(http.server.BaseHTTPRequestHandler):
    """A few objects behind checked SigV4 signatures, as S3 would check them."""

    objects = {"/remote/dir/a%20b%2Bc.zip": ZIP, "/remote/long": b"x" * (52428800 + 1)}
    requests: list[str] = []

    def is_signed(self) -> bool:
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
            r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
            self.headers.get("Authorization", ""),
        )
        if not found or found[1] != ACCESS_KEY:
            return False
        _, date, region, names, signature = found.groups()
        path, _, query = self.path.partition("?")
        canonical = "\n".join(
            ["GET", path, query]
            + [f"{name}:{self.headers[name].strip()}" for name in names.split(";")]
            + ["", names, self.headers["x-amz-content-sha256"]])
        text = "\n".join([
            "AWS4-HMAC-SHA256", self.headers["x-amz-date"], f"{date}/{region}/s3/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest()])
        return hmac.compare_digest(sign(date, region, text.encode()), signature)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # hako stops reading what is too long

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path = urllib.parse.urlsplit(self.path).path
        if not self.is_signed():
            self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code>"
                             b"<Message>Not signed.</Message></Error>")
        elif path in self.objects:
            self.answer(200, self.objects[path])
        else:
            self.answer(404, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>"
                             b"<Message>The specified key does not exist.</Message></Error>")

    def log_message(self, *_) -> None:
        pass


class Buckets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), BucketServer)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        cls.engine = Engine(code_s3_endpoint=f"http://127.0.0.1:{cls.server.server_port}/")
        cls.buckets = os.path.join(cls.engine.scratch, "buckets")
        cls.credentials = os.path.join(cls.engine.scratch, "credentials")
        os.makedirs(os.path.join(cls.buckets, "local", "deep"))
        with open(os.path.join(cls.buckets, "local", "deep", "code.zip"), "wb") as file:
            file.write(ZIP)
        with open(os.path.join(cls.buckets, "outside.zip"), "wb") as file:
            file.write(ZIP)
        os.symlink("../outside.zip", os.path.join(cls.buckets, "local", "link.zip"))
        os.mkfifo(os.path.join(cls.buckets, "local", "pipe"))
        with open(cls.credentials, "w", encoding="utf-8") as file:
            file.write(f"{ACCESS_KEY}\n{SECRET_KEY}\n")
        cls.engine.settings |= {
            "code_bucket_dir": cls.buckets, "code_s3_credentials": cls.credentials,
        }
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def create(self, name, bucket, key, **more):
        return self.engine.control("CreateFunction", {
            "FunctionName": name, "Runtime": "python3.11", "Handler": "main.handler", "Role": ROLE,
            "Code": {"S3Bucket": bucket, "S3Key": key} | more})

    def refused(self, bucket, key, code, **more):
        answer = self.create("never", bucket, key, **more)
        self.assertEqual((answer.status, answer.error_code),
                         (400, "InvalidParameterValueException"), answer)
        self.assertIn(f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: ",
                      answer.message)

    def test_a_directory_is_a_bucket(self):
        made = self.create("local", "local", "deep/code.zip")
        self.assertEqual(made.status, 201, made)
        self.assertEqual(made.json["CodeSize"], len(ZIP))
        self.assertEqual(self.engine.result("local", {}), "from a bucket")
        for key in ("none.zip", "deep", "../outside.zip", "/etc/passwd", "deep/../../outside.zip",
                    "link.zip", "pipe"):
            with self.subTest(key=key):
                self.refused("local", key, "NoSuchKey")
        self.refused("local", "deep/code.zip", "NoSuchVersion", S3ObjectVersion="7")
        self.engine.delete("local")

    def test_an_s3_server_is_asked_with_a_signature(self):
        BucketServer.requests.clear()
        made = self.create("remote", "remote", "dir/a b+c.zip")
        self.assertEqual(made.status, 201, made)
        self.assertEqual(BucketServer.requests, ["/remote/dir/a%20b%2Bc.zip"])
        self.assertEqual(self.engine.result("remote", {}), "from a bucket")
        updated = self.engine.control("UpdateFunctionCode", {
            "FunctionName": "remote", "S3Bucket": "remote", "S3Key": "dir/a b+c.zip",
            "S3ObjectVersion": "v1"})
        self.assertEqual(updated.status, 200, updated)
        self.assertEqual(BucketServer.requests[-1], "/remote/dir/a%20b%2Bc.zip?versionId=v1")
        self.refused("remote", "none", "NoSuchKey")
        long = self.create("never", "remote", "long")
        self.assertEqual((long.status, long.error_code), (413, "RequestEntityTooLargeException"))
        with open(self.credentials, "w", encoding="utf-8") as file:
            file.write("AKIAOTHER\nwrong\n")
        self.refused("remote", "dir/a b+c.zip", "SignatureDoesNotMatch")
        with open(self.credentials, "w", encoding="utf-8") as file:
            file.write(f"{ACCESS_KEY}\n{SECRET_KEY}\n")
        self.engine.delete("remote")

    def test_the_zip_is_kept_as_it_came_until_nobody_has_it(self):
        package = zip_of({"main.py": "def handler(e, c):\n    return 'kept'\n"})
        digest = hashlib.sha256(package).hexdigest()
        path = os.path.join(self.engine.state, "code", f"{digest}.zip")
        request = {"FunctionName": "kept"}
        self.engine.create("kept", {"main.py": "def handler(e, c):\n    return 'kept'\n"})
        with open(path, "rb") as file:
            self.assertEqual(file.read(), package)
        self.engine.control("PublishVersion", request)
        self.engine.control("UpdateFunctionCode", request, ZIP)
        self.assertTrue(os.path.exists(path), "version 1 has it")
        self.assertEqual(self.engine.result("kept", {}, qualifier="1"), "kept")
        dry = self.engine.control("UpdateFunctionCode", request | {"DryRun": True}, package[:40])
        self.assertEqual((dry.status, dry.error_code), (400, "InvalidParameterValueException"))
        self.engine.delete("kept")
        leaks.eventually(lambda: not os.path.exists(path), "its zip is removed")


if __name__ == "__main__":
    unittest.main()
