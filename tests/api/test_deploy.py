"""`hako deploy` against the real engine: made, left alone, changed, rolled back, cleared away."""
import os
import pathlib
import tempfile
import unittest

from support.engine import Engine
from support.web import UnixConnection, ask

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, Handler: app.handler, Timeout: 20}
Resources:
  Front:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: front
      MemorySize: 192
      AutoPublishAlias: live
      ReservedConcurrentExecutions: 5
      Tags: {team: shop}
      Environment: {Variables: {PEER: !GetAtt Back.Arn}}
      Events:
        Item: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: get}}
        Old: {Type: Api, Properties: {Path: /old, Method: any}}
"""
BACK = """
  Back:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: back, CodeUri: back}
"""
OUTPUTS = """
Outputs:
  Url: {Value: !Sub "${ServerlessHttpApi.ApiEndpoint}/items/7"}
"""
FRONT = """
import os
def handler(event, context):
    return {{"statusCode": 200, "body": "{word} " + event["path" if "path" in event else "rawPath"]
            + " " + os.environ.get("PEER", "")}}
"""


class Deploy(unittest.TestCase):
    def setUp(self):
        self.engine = Engine(http_auth="off", url_base="http://hako.test")
        self.engine.start()
        self.addCleanup(self.engine.destroy)
        self.addCleanup(self.engine.stop)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "shop"
        self.write("front/app.py", FRONT.format(word="one"))
        self.write("back/app.py", "def handler(event, context):\n    return 1\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def deploy(self, text, *options, status=0, says=""):
        done = self.engine.cli("deploy", self.write("template.yaml", text), *options)
        self.assertEqual(done.returncode, status, f"{done.stdout}{done.stderr}")
        self.assertIn(says, done.stderr.decode())
        return done.stdout.decode()

    def get(self, path):
        connection = UnixConnection(os.path.join(self.engine.scratch, "http.sock"))
        self.addCleanup(connection.close)
        answer = ask(connection, "GET", path)
        self.assertEqual(answer.status, 200, answer)
        return answer.body.decode()

    def test_from_the_first_deployment_to_the_last(self):
        out = self.deploy(TEMPLATE + BACK + OUTPUTS)
        url = "http://hako.test/api/shop-http/items/7"
        self.assertIn(f"  Url: {url}\n", out)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:back"
        self.assertEqual(self.get("/api/shop-http/items/7"), f"one /items/7 {arn}")
        self.assertEqual(self.get("/api/shop-rest/Prod/old"), f"one /old {arn}")
        self.assertIn("nothing to do", self.deploy(TEMPLATE + BACK + OUTPUTS))

        self.write("front/app.py", FRONT.format(word="two"))
        plan = self.deploy(TEMPLATE + BACK, "--plan")
        self.assertIn("~ function shop-Front: code\n", plan)
        self.assertTrue(self.get("/api/shop-http/items/7").startswith("one "))
        self.deploy(TEMPLATE + BACK)
        self.assertTrue(self.get("/api/shop-http/items/7").startswith("two "))

        alone = TEMPLATE.replace("!GetAtt Back.Arn", "x")  # Back has no alias to move
        self.assertIn("version 2 -> version 1", self.deploy(alone, "--rollback"))
        self.assertTrue(self.get("/api/shop-http/items/7").startswith("one "))
        self.deploy(TEMPLATE + BACK)
        self.assertTrue(self.get("/api/shop-http/items/7").startswith("two "))

        out = self.deploy(BACK.replace("\n  Back", "\nResources:\n  Back", 1).replace(
            "{FunctionName", "{Runtime: python3.11, Handler: app.handler, FunctionName"))
        for line in ("- function shop-Front", "- API shop-http", "- API shop-rest"):
            self.assertIn(line, out)
        left = self.engine.control("ListFunctions", {}).json["Functions"]
        self.assertEqual([function["FunctionName"] for function in left], ["back"])

    def test_what_the_engine_refuses_leaves_nothing_behind(self):
        # Back is made first, then the engine does not take Front.
        front = TEMPLATE.partition("Resources:\n")
        text = front[0] + front[1] + BACK + front[2].replace("MemorySize: 192", "MemorySize: 64")
        self.deploy(text, status=4, says="undone: function back")
        self.assertEqual(self.engine.control("ListFunctions", {}).json["Functions"], [])


if __name__ == "__main__":
    unittest.main()
