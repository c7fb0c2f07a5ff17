"""`hako deploy` against an engine played by a thread: what a template may say, and how it is told."""

import json
import unittest

from cli_harness import CliTest, run

NOT_THERE = (404, b"ResourceNotFoundException", b'{"Type":"User","Message":"not there"}')
EMPTY_ENGINE = {
    "GetEngineStatus": b'{"Account":"123456789012","Region":"eu-west-1",'
                       b'"UrlBase":"http://h"}',
    "GetFunctionConfiguration": NOT_THERE,
    "GetFunctionConcurrency": NOT_THERE,
    "GetFunctionEventInvokeConfig": NOT_THERE,
    "GetAlias": NOT_THERE,
    "GetProvisionedConcurrencyConfig": NOT_THERE,
    "GetFunctionUrlConfig": NOT_THERE,
    "GetHttpApi": NOT_THERE,
    "GetSchedule": NOT_THERE,
    "ListHttpApis": b'{"HttpApis":[]}',
    "ListLayerVersions": b'{"LayerVersions":[]}',
    "ListFunctions": b'{"Functions":[]}',
}
GOOD = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Level: {Type: String, Default: info, AllowedValues: [info, debug]}
Globals:
  Function:
    Runtime: python3.11
    Environment:
      Variables:
        LEVEL: !Ref Level
        PEER: !GetAtt Worker.Arn
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.handler
      MemorySize: 256
      AutoPublishAlias: live
      Environment:
        Variables:
          NAME: !Sub "${AWS::StackName}-${Level}-${!Literal}"
          PLACE: !Join ["/", [a, !Ref "AWS::Region"]]
          GONE: !Ref AWS::NoValue
      Events:
        Get: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: get}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Enabled: false}}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: worker
      CodeUri: src
      Handler: app.handler
Outputs:
  Arn: {Value: !GetAtt Hello.Arn}
  Url: {Value: !Sub "${ServerlessHttpApi.ApiEndpoint}/items/1"}
"""

FUNCTION = """
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.handler
      Runtime: python3.11
"""


class Deploy(CliTest):
    def deploy(self, text, *arguments, **answers):
        self.write("shop/src/app.py", "def handler(event, context): return 1\n")
        path = self.write("shop/template.yaml", text)
        self.played = self.engine(**(EMPTY_ENGINE | answers))
        return run("--socket", self.played.path, "deploy", path, *arguments)

    def asked(self, operation):
        return [asked for asked in self.played.asked if asked[0] == operation]

    def test_a_plan_reads_and_changes_nothing(self):
        code, out, err = self.deploy(GOOD, "--plan")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines(), [
            "+ function shop-Hello",
            "+ function worker",
            "+ alias shop-Hello:live",
            "      none -> a new version",
            "+ API shop-http",
            "      GET /items/{id} -> shop-Hello:live",
            "+ schedule shop-Hello-Tick",
            "      rate(5 minutes) -> shop-Hello:live",
        ])
        reads = ("Get", "List")
        self.assertEqual([a[0] for a in self.played.asked if not a[0].startswith(reads)], [])

    def test_what_is_created(self):
        code, out, err = self.deploy(
            GOOD, CreateFunction=b"{}", PublishVersion=b'{"Version":"1"}', CreateAlias=b"{}",
            PutHttpApi=b"{}", PutSchedule=b"{}",
        )
        self.assertEqual((code, err), (0, ""), out)
        hello, worker = self.asked("CreateFunction")
        self.assertEqual(hello[1]["Environment"]["Variables"], {
            "LEVEL": "info", "PEER": "arn:aws:lambda:eu-west-1:123456789012:function:worker",
            "NAME": "shop-info-${Literal}", "PLACE": "a/eu-west-1",
        })
        self.assertEqual((hello[1]["MemorySize"], hello[1]["Timeout"]), (256, 3))
        self.assertEqual(hello[1]["Tags"], {"hako:stack": "shop"})
        self.assertEqual(hello[2][:2], b"PK")
        self.assertEqual(worker[1]["FunctionName"], "worker")
        alias = self.asked("CreateAlias")[0][1]
        self.assertEqual((alias["Name"], alias["FunctionVersion"]), ("live", "1"))
        api = self.asked("PutHttpApi")[0][1]
        self.assertEqual(api["Routes"], [{
            "Method": "GET", "Path": "/items/{id}", "FunctionName": "shop-Hello",
            "Qualifier": "live", "PayloadFormatVersion": "2.0",
        }])
        self.assertEqual(self.asked("PutSchedule")[0][1]["State"], "DISABLED")
        self.assertIn("  Url: http://h/api/shop-http/items/1\n", out)

    def test_what_fails_later_is_undone(self):
        code, out, err = self.deploy(
            GOOD, CreateFunction=b"{}", PublishVersion=b'{"Version":"1"}', CreateAlias=b"{}",
            PutHttpApi=(400, b"InvalidParameterValueException", b'{"message":"no such route"}'),
            DeleteAlias=b"", DeleteFunction=b"",
        )
        self.assertEqual(code, 4, out)
        self.assertIn("no such route", err)
        self.assertEqual([a[1]["Name"] for a in self.asked("DeleteAlias")], ["live"])
        self.assertEqual(
            [a[1]["FunctionName"] for a in self.asked("DeleteFunction")], ["worker", "shop-Hello"]
        )

    def test_changes_are_named_but_values_of_variables_are_not(self):
        now = {
            "FunctionName": "shop-F", "FunctionArn": "arn:f", "Runtime": "python3.11",
            "Handler": "app.handler", "MemorySize": 512, "Timeout": 3, "Description": "",
            "EphemeralStorage": {"Size": 512}, "CodeSha256": "other",
            "Environment": {"Variables": {"SECRET": "hunter2", "OLD": "x"}},
        }
        text = FUNCTION + "      Environment: {Variables: {SECRET: s3cret, NEW: 1}}\n"
        code, out, _ = self.deploy(
            text, "--plan", GetFunctionConfiguration=json.dumps(now).encode(),
            ListTags=b'{"Tags":{"hako:stack":"shop"}}',
        )
        self.assertEqual(code, 0)
        for line in ("~ function shop-F: code", "MemorySize: 512 -> 128",
                     "Environment: SECRET has another value", "Environment: NEW is new",
                     "Environment: OLD goes"):
            self.assertIn(line, out)
        self.assertNotIn("hunter2", out)
        self.assertNotIn("s3cret", out)

    def test_an_engine_without_schedules_says_so(self):
        unknown = (404, b"UnknownOperationException", b'{"message":"no"}')
        code, _, err = self.deploy(GOOD, GetSchedule=unknown)
        self.assertEqual(code, 4)
        self.assertIn("the template needs GetSchedule, which this engine does not have", err)
        self.assertEqual(self.asked("CreateFunction"), [])

    def test_what_an_engine_lacks_matters_only_to_who_asks_for_it(self):
        unknown = (404, b"UnknownOperationException", b'{"message":"no"}')
        lacks = {"GetFunctionEventInvokeConfig": unknown}
        code, out, err = self.deploy(FUNCTION, "--plan", **lacks)
        self.assertEqual((code, err), (0, ""), out)
        asks = FUNCTION + "      EventInvokeConfig: {MaximumRetryAttempts: 1}\n"
        code, _, err = self.deploy(asks, "--plan", **lacks)
        self.assertEqual(code, 4)
        self.assertIn("the template needs GetFunctionEventInvokeConfig", err)

    def test_a_function_that_left_the_template_is_removed(self):
        functions = b'{"Functions":[{"FunctionName":"shop-Old","FunctionArn":"arn:old"}]}'
        code, out, _ = self.deploy(
            FUNCTION, "--plan", ListFunctions=functions, ListTags=b'{"Tags":{"hako:stack":"shop"}}'
        )
        self.assertEqual(code, 0)
        self.assertIn("- function shop-Old\n", out)
        _, out, _ = self.deploy(
            FUNCTION, "--plan", ListFunctions=functions, ListTags=b'{"Tags":{"hako:stack":"x"}}'
        )
        self.assertNotIn("shop-Old", out)

    def test_rollback_moves_the_alias_to_the_version_before(self):
        code, out, _ = self.deploy(
            FUNCTION + "      AutoPublishAlias: live\n", "--rollback",
            GetAlias=b'{"FunctionVersion":"7"}', UpdateAlias=b"{}",
            ListVersionsByFunction=b'{"Versions":[{"Version":"$LATEST"},{"Version":"4"},'
                                   b'{"Version":"7"},{"Version":"9"}]}',
        )
        self.assertEqual(code, 0, out)
        self.assertIn("version 7 -> version 4", out)
        self.assertEqual(self.asked("UpdateAlias")[0][1]["FunctionVersion"], "4")

    def test_faults_are_told_by_line(self):
        p = "Resources.F.Properties"
        cases = (
            ("Resources: {F: {Type: AWS::S3::Bucket}}", 1, "Resources.F: resources of type"),
            (FUNCTION + "      Colour: red\n", 9, f"{p}.Colour: hako does not know"),
            (FUNCTION + "      MemorySize: big\n", 9,
             f"{p}.MemorySize: must be a whole number, not 'big'"),
            (FUNCTION + "      Handler: other.handler\n", 9, f"{p}.Handler: is there twice"),
            (FUNCTION + "      Description: !Ref Nobody\n", 9, "nothing here is named 'Nobody'"),
            (FUNCTION + "      Description: !GetAtt F.Size\n", 9, "'F' has no attribute 'Size'"),
            (FUNCTION + "      Description: !ImportValue x\n", 9, "the function ImportValue"),
            (FUNCTION + "      Description: !Sub '${AWS::Region'\n", 9, "is not closed"),
            (FUNCTION + "      InlineCode: x\n", 9, "hako does not have this"),
            (FUNCTION + "      Events: {E: {Type: SQS}}\n", 9, "events of type 'SQS' are not here"),
            (FUNCTION + "      Events: {E: {Type: Api, Properties: {Path: x, Method: get}}}\n", 9,
             "Path must begin with '/'"),
            (FUNCTION.replace("CodeUri: src", "CodeUri: nowhere"), 6, "there is no"),
            (FUNCTION + "Conditions: {}\n", 9, "Conditions: this section is not supported"),
            (FUNCTION + "Parameters: {P: {Type: String}}\n", 9, "give --parameter P=VALUE"),
            (FUNCTION + "      Environment: [a]\n", 9, "must be a mapping"),
            ("Resources: {F: {", 1, ""),
            ("[]", 1, "a template is a mapping"),
        )
        for text, line, words in cases:
            with self.subTest(text=text[-60:]):
                code, out, err = self.deploy(text)
                self.assertEqual((code, out), (2, ""), err)
                self.assertIn(f"template.yaml:{line}: ", err)
                self.assertIn(words, err)

    def test_parameters_are_checked(self):
        for argument, words in (
            ("Level=loud", "'loud' is none of info, debug"), ("Nobody=1", "has no such parameter"),
            ("Level", "must be NAME=VALUE"),
        ):
            code, _, err = self.deploy(GOOD, "--parameter", argument)
            self.assertEqual(code, 2)
            self.assertIn(words, err)

    def test_a_file_that_stands_for_a_huge_tree(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        code, _, err = self.deploy("\n".join(lines) + "\n")
        self.assertEqual(code, 2)
        self.assertIn("more than 100000 values", err)


if __name__ == "__main__":
    unittest.main()
