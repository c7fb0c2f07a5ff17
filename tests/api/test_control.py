"""The control operations over the frame socket, and what they change."""
import base64
import hashlib
import unittest

from support.engine import ROLE, Engine, zip_of

ECHO = "def handler(event, context):\n    return event\n"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:thing"


class Control(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def ok(self, operation, request, blob=b"", status=200):
        answer = self.engine.control(operation, request, blob)
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.payload else None

    def test_life_of_a_function(self):
        package = zip_of({"main.py": ECHO})
        made = self.engine.create("thing", {"main.py": ECHO}, Description="first").json
        self.assertEqual(made["FunctionArn"], ARN)
        self.assertEqual((made["Timeout"], made["MemorySize"]), (3, 128))
        self.assertEqual(made["Version"], "$LATEST")
        self.assertEqual(made["CodeSize"], len(package))
        digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
        self.assertEqual(made["CodeSha256"], digest)
        self.assertRegex(made["LastModified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$")
        self.assertEqual(self.engine.result("thing", {"a": [1]}), {"a": [1]})

        newer = zip_of({"main.py": "def handler(event, context):\n    return 'newer'\n"})
        changed = self.ok("UpdateFunctionCode", {"FunctionName": "thing"}, newer)
        self.assertNotEqual(changed["CodeSha256"], digest)
        self.assertNotEqual(changed["RevisionId"], made["RevisionId"])
        self.assertEqual(self.engine.result("thing", {}), "newer")

        request = {"FunctionName": "thing", "Timeout": 9, "MemorySize": 256,
                   "Environment": {"Variables": {"COLOUR": "red"}}}
        changed = self.ok("UpdateFunctionConfiguration", request)
        self.assertEqual((changed["Timeout"], changed["MemorySize"]), (9, 256))
        self.assertEqual(changed["Environment"], {"Variables": {"COLOUR": "red"}})
        self.assertEqual(changed["Description"], "first")

        got = self.ok("GetFunction", {"FunctionName": "thing"})["Configuration"]
        self.assertEqual(got["Timeout"], 9)
        self.ok("DeleteFunction", {"FunctionName": "thing"}, status=204)
        self.assertEqual(self.engine.invoke("thing", {}).status, 404)
        again = self.engine.control("DeleteFunction", {"FunctionName": "thing"})
        self.assertEqual((again.status, again.error_code), (404, "ResourceNotFoundException"))

    def test_listing_in_pages(self):
        names = [f"list{i:02d}" for i in range(7)]
        for name in reversed(names):
            self.engine.create_python(name, ECHO)
        seen, request = [], {"MaxItems": 3}
        while True:
            page = self.ok("ListFunctions", request)
            self.assertLessEqual(len(page["Functions"]), 3)
            seen += [item["FunctionName"] for item in page["Functions"]]
            if not page.get("NextMarker"):
                break
            request["Marker"] = page["NextMarker"]
        self.assertEqual([name for name in seen if name.startswith("list")], names)
        for name in names:
            self.engine.delete(name)

    def test_a_stale_revision_is_refused(self):
        self.engine.create_python("revised", ECHO)
        answer = self.engine.control(
            "UpdateFunctionConfiguration",
            {"FunctionName": "revised", "Timeout": 5,
             "RevisionId": "00000000-0000-0000-0000-000000000000"},
        )
        self.assertEqual((answer.status, answer.error_code), (412, "PreconditionFailedException"))
        self.engine.delete("revised")

    def test_code_as_base64_in_the_request(self):
        package = base64.b64encode(zip_of({"main.py": ECHO})).decode()
        request = {"FunctionName": "inline", "Runtime": "python3.11", "Handler": "main.handler",
                   "Role": ROLE, "Code": {"ZipFile": package}}
        self.ok("CreateFunction", request, status=201)
        self.assertEqual(self.engine.result("inline", 3), 3)
        self.engine.delete("inline")

    def test_dry_run_checks_and_runs_nothing(self):
        self.engine.create_python("dry", "def handler(e, c):\n    raise SystemExit\n")
        answer = self.engine.invoke("dry", {}, invocation_type=2)
        self.assertEqual((answer.status, answer.payload), (204, b""))
        self.engine.delete("dry")


if __name__ == "__main__":
    unittest.main()
