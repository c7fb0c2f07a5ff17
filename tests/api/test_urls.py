"""Function URLs and HTTP APIs: made, found by host and path, events in, answers out, kept."""
import base64
import json
import os
import pathlib
import re
import tempfile
import unittest

from support import leaks
from support.engine import SOURCE_ROOT, Engine, built_function
from support.ledger import read_ledger
from support.web import UnixConnection, ask

ID = re.compile(r"https://([a-z0-9]{32})\.lambda-url\.us-east-1\.on\.aws/")
# Answers with what the request's body says, so that a test chooses the result.
ECHO_BODY = """
import base64, json
def handler(event, context):
    body = event["body"]
    return json.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
"""
SHOW_EVENT = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""


class SiteCase(unittest.TestCase):
    settings: dict = {}

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(**({"http_auth": "off"} | cls.settings))
        cls.engine.start()
        cls.addClassCleanup(cls.engine.destroy)
        cls.make()

    @classmethod
    def make(cls):
        """What all tests of the class share."""

    @classmethod
    def tearDownClass(cls):
        cls.engine.stop()

    def connect(self):
        return UnixConnection(os.path.join(self.engine.scratch, "http.sock"))

    def ask(self, method, path, body=None, /, **headers):
        connection = self.connect()
        self.addCleanup(connection.close)
        return ask(connection, method, path, body, **headers)

    @classmethod
    def control(cls, operation, status=200, **members):
        answer = cls.engine.control(operation, members)
        assert answer.status == status, f"{answer.status} {answer.payload!r}"
        return answer.json if answer.payload else None

    @classmethod
    def create_site(cls, name):
        cls.engine.create(
            name, {"libsite.so": built_function("libsite.so")}, runtime="native",
            handler="libsite.so", Timeout=30,
        )

    @classmethod
    def url_of(cls, name, **members):
        made = cls.control(
            "CreateFunctionUrlConfig", 201, FunctionName=name,
            **({"AuthType": "NONE"} | members),
        )
        return ID.fullmatch(made["FunctionUrl"])[1]


class Configurations(SiteCase):
    def test_life_of_a_configuration(self):
        self.engine.create_python("life", ECHO_BODY)
        cors = {"AllowCredentials": True, "AllowMethods": ["GET"], "AllowOrigins": ["*"],
                "MaxAge": 60}
        made = self.control(
            "CreateFunctionUrlConfig", 201, FunctionName="life", AuthType="AWS_IAM", Cors=cors
        )
        arn = "arn:aws:lambda:us-east-1:123456789012:function:life"
        self.assertEqual(
            set(made), {"FunctionUrl", "FunctionArn", "AuthType", "Cors", "CreationTime"}
        )
        self.assertEqual((made["FunctionArn"], made["AuthType"]), (arn, "AWS_IAM"))
        self.assertEqual(made["Cors"], cors)
        self.assertRegex(made["CreationTime"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        got = self.control("GetFunctionUrlConfig", FunctionName=arn)
        self.assertEqual(got, made | {"LastModifiedTime": made["CreationTime"]})
        changed = self.control(
            "UpdateFunctionUrlConfig", FunctionName="life", AuthType="NONE",
            InvokeMode="RESPONSE_STREAM",
        )
        self.assertEqual(changed["InvokeMode"], "RESPONSE_STREAM")
        self.assertEqual((changed["AuthType"], changed["Cors"]), ("NONE", cors))
        self.assertEqual(changed["FunctionUrl"], made["FunctionUrl"])
        listed = self.control("ListFunctionUrlConfigs", FunctionName="life")
        self.assertEqual(listed, {"FunctionUrlConfigs": [changed]})
        self.control("DeleteFunctionUrlConfig", 204, FunctionName="life")
        self.assertEqual(
            self.control("ListFunctionUrlConfigs", FunctionName="life"), {"FunctionUrlConfigs": []}
        )

    def test_refusals(self):
        self.engine.create_python("refuse", ECHO_BODY)
        self.url_of("refuse")
        arn = "arn:aws:lambda:us-east-1:123456789012:function:refuse"
        cases = [
            ("CreateFunctionUrlConfig", {"FunctionName": "refuse", "AuthType": "NONE"}, 409,
             f"Failed to create function url config for [functionArn = {arn}]. Error message:  "
             "FunctionUrlConfig exists for this Lambda function"),
            ("CreateFunctionUrlConfig", {"FunctionName": "nobody", "AuthType": "NONE"}, 404,
             "Function does not exist"),
            ("CreateFunctionUrlConfig",
             {"FunctionName": "refuse", "Qualifier": "none", "AuthType": "NONE"}, 404,
             "Function does not exist"),
            ("ListFunctionUrlConfigs", {"FunctionName": "nobody"}, 404, "Function does not exist"),
            ("GetFunctionUrlConfig", {"FunctionName": "nobody"}, 404,
             "The resource you requested does not exist."),
            ("UpdateFunctionUrlConfig", {"FunctionName": "nobody"}, 404,
             "The resource you requested does not exist."),
            ("DeleteFunctionUrlConfig", {"FunctionName": "nobody"}, 404,
             "The resource you requested does not exist."),
        ]
        for operation, request, status, message in cases:
            with self.subTest(operation, **request):
                answer = self.engine.control(operation, request)
                self.assertEqual(answer.status, status)
                found = answer.json.get("Message") or answer.json.get("message")
                self.assertEqual(found, message)
        for bad in ({"AuthType": "MAYBE"}, {}, {"AuthType": "NONE", "InvokeMode": "X"},
                    {"AuthType": "NONE", "Qualifier": "1"},
                    {"AuthType": "NONE", "Cors": {"MaxAge": 90000}}):
            request = {"FunctionName": "refuse"} | bad
            answer = self.engine.control("CreateFunctionUrlConfig", request)
            self.assertEqual((answer.status, answer.error_code), (400, "ValidationException"), bad)

    def test_a_deleted_function_takes_its_url_along(self):
        self.engine.create_python("short", ECHO_BODY)
        host = self.url_of("short") + ".lambda-url.us-east-1.on.aws"
        self.assertEqual(self.ask("POST", "/", b"1", host=host).status, 200)
        self.engine.delete("short")
        self.engine.create_python("short", ECHO_BODY)
        answer = self.engine.control("GetFunctionUrlConfig", {"FunctionName": "short"})
        self.assertEqual(answer.status, 404)
        self.assertEqual(self.ask("POST", "/", b"1", host=host).status, 403)


class Events(SiteCase):
    @classmethod
    def make(cls):
        cls.create_site("show")
        cls.url_id = cls.url_of("show")
        cls.host = f"{cls.url_id}.lambda-url.us-east-1.on.aws"

    def event(self, method, path, body=None, /, **headers):
        page = self.ask(method, path, body, **({"host": self.host} | headers))
        self.assertEqual((page.status, page.header("content-type")), (200, "application/json"))
        return json.loads(page.body), page

    def test_event_of_a_post(self):
        event, page = self.event(
            "POST", "/a%2Fb/c?q=1&q=%20x&empty", '{"ä":1}'.encode(),
            content_type="application/json", cookie="a=1; b=2", X_Custom="v", user_agent="test",
            connection="keep-alive",
        )
        context = event["requestContext"]
        self.assertEqual(event["version"], "2.0")
        self.assertEqual(event["rawPath"], "/a%2Fb/c")
        self.assertEqual(event["rawQueryString"], "q=1&q=%20x&empty")
        self.assertEqual(event["queryStringParameters"], {"q": "1, x", "empty": ""})
        self.assertEqual(event["cookies"], ["a=1", "b=2"])
        self.assertEqual((event["body"], event["isBase64Encoded"]), ('{"ä":1}', False))
        self.assertEqual(event["headers"]["x-custom"], "v")
        self.assertEqual(event["headers"]["host"], self.host)
        self.assertNotIn("connection", event["headers"])
        self.assertNotIn("cookie", event["headers"])
        self.assertEqual(context["accountId"], "anonymous")
        self.assertEqual((context["apiId"], context["domainPrefix"]), (self.url_id, self.url_id))
        self.assertEqual(context["domainName"], self.host)
        self.assertEqual(context["http"], {
            "method": "POST", "path": "/a%2Fb/c", "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1", "userAgent": "test",
        })
        self.assertEqual(context["requestId"], page.header("x-amzn-requestid"))
        self.assertRegex(context["time"], r"^\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000$")

    def test_binary_bodies_are_base64(self):
        body = bytes(range(256)) * 5000
        event, _ = self.event("PUT", "/", body, content_type="application/octet-stream")
        self.assertTrue(event["isBase64Encoded"])
        self.assertEqual(base64.b64decode(event["body"]), body)
        form, _ = self.event("POST", "/", b"a=b", content_type="application/x-www-form-urlencoded")
        self.assertEqual((form["body"], form["isBase64Encoded"]), ("YT1i", True))

    def test_hosts_and_paths_lead_to_the_same_url(self):
        for path, host, raw_path, prefix in (
            ("/x/", f"{self.url_id}.localhost:9000", "/x/", None),
            ("/x", f"{self.url_id.upper()}.example.com", "/x", None),
            (f"/url/{self.url_id}/x%20y?q", "localhost", "/x%20y", f"/url/{self.url_id}"),
            ("/url/show/x", "www.example.com", "/x", "/url/show"),
            ("/url/show", "localhost", "/", "/url/show"),
            ("/url/sh%6Fw/", "localhost", "/", "/url/sh%6Fw"),
        ):
            with self.subTest(path, host=host):
                event, _ = self.event("GET", path, host=host)
                self.assertEqual(event["rawPath"], raw_path)
                self.assertEqual(event["headers"].get("x-forwarded-prefix"), prefix)
                self.assertEqual(
                    event["requestContext"]["domainName"], host.split(":")[0].lower()
                )

    def test_unknown_urls(self):
        unknown = "x" * 32
        for path, host in (("/", f"{unknown}.lambda-url.us-east-1.on.aws"),
                           (f"/url/{unknown}/", "localhost"), ("/url/", "localhost"),
                           ("/url/show:none/", "localhost")):
            page = self.ask("GET", path, host=host)
            self.assertEqual((page.status, page.body), (403, b'{"Message":null}'), path)
            self.assertEqual(page.header("x-amzn-errortype"), "AccessDeniedException")

    def test_a_trusted_proxy_says_who_asks(self):
        event, _ = self.event(
            "GET", "/", X_Forwarded_For="6.6.6.6, 192.0.2.1", X_Forwarded_Proto="https",
            X_Forwarded_Port="8443",
        )
        self.assertEqual(event["requestContext"]["http"]["sourceIp"], "192.0.2.1")
        self.assertEqual(event["headers"]["x-forwarded-for"], "6.6.6.6, 192.0.2.1")
        self.assertEqual(event["headers"]["x-forwarded-proto"], "https")
        self.assertEqual(event["headers"]["x-forwarded-port"], "8443")

    def test_events_over_the_limit_are_refused(self):
        text = b"x" * 6291456
        page = self.ask("POST", "/", text, host=self.host, content_type="text/plain")
        self.assertEqual(page.status, 413)
        self.assertEqual(
            json.loads(page.body),
            {"Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"},
        )
        # In base64 it is a third longer: the event is over the limit although the body is not.
        page = self.ask("POST", "/", text[:5000000], host=self.host)
        self.assertEqual(page.status, 413)
        event, _ = self.event("POST", "/", text[:6000000], content_type="text/plain")
        self.assertEqual(len(event["body"]), 6000000)

    def test_authorization_is_the_functions_own(self):
        event, _ = self.event("GET", "/", authorization="Bearer abc")
        self.assertEqual(event["headers"]["authorization"], "Bearer abc")

    def test_websockets_are_refused(self):
        page = self.ask("GET", "/", host=self.host, connection="upgrade", upgrade="websocket")
        self.assertEqual(page.status, 501)
        event, _ = self.event("GET", "/", connection="upgrade", upgrade="h2c")
        self.assertNotIn("upgrade", event["headers"])


class Answers(SiteCase):
    @classmethod
    def make(cls):
        cls.engine.create_python("echo", ECHO_BODY, Timeout=2)
        cls.host = cls.url_of("echo") + ".localhost"

    def answer(self, result, method="POST"):
        return self.ask(
            method, "/", json.dumps(result).encode(), host=self.host,
            content_type="application/json",
        )

    def test_recorded_answers(self):
        for result, body in (({"hello": "world"}, b'{"hello": "world"}'), ("hello", b"hello"),
                             (3, b"3"), (True, b"true"), (None, b"null")):
            page = self.answer(result)
            self.assertEqual((page.status, page.header("content-type")), (200, "application/json"))
            self.assertEqual(page.body, body)

    def test_status_headers_cookies_and_bytes(self):
        page = self.answer({
            "statusCode": 201, "headers": {"Content-Type": "image/png", "X-A": "1"},
            "cookies": ["a=1; Path=/", "b=2"], "isBase64Encoded": True,
            "body": base64.b64encode(b"\x89PNG\r\n").decode(),
        })
        self.assertEqual((page.status, page.body), (201, b"\x89PNG\r\n"))
        self.assertEqual(page.header("content-type"), "image/png")
        self.assertEqual(page.header("content-length"), "6")
        self.assertEqual(page.cookies(), ["a=1; Path=/", "b=2"])

    def test_no_content(self):
        connection = self.connect()
        for _ in range(2):  # the connection must be good for another request afterwards
            page = ask(connection, "POST", "/", b'{"statusCode":204,"body":"x"}', host=self.host)
            self.assertEqual((page.status, page.body), (204, b""))
            self.assertIsNone(page.header("content-type"))
        connection.close()

    def test_head_has_the_length_and_no_body(self):
        connection = self.connect()
        page = ask(connection, "HEAD", "/", b'{"statusCode":200,"body":"12345"}', host=self.host)
        self.assertEqual((page.status, page.body, page.header("content-length")), (200, b"", "5"))
        page = ask(connection, "POST", "/", b'{"statusCode":200,"body":"12345"}', host=self.host)
        self.assertEqual(page.body, b"12345")
        connection.close()

    def test_what_cannot_be_an_answer(self):
        for result in ({"statusCode": 200, "headers": {"X": "a\r\nSet-Cookie: evil=1"}},
                       {"statusCode": 200, "headers": {"X: y\r\nZ": "a"}},
                       {"statusCode": 200, "cookies": ["a\nb"]}, {"statusCode": 99},
                       {"statusCode": 200, "isBase64Encoded": True, "body": "%"}):
            page = self.answer(result)
            self.assertEqual((page.status, page.body), (502, b"Internal Server Error"), result)
            self.assertEqual(page.cookies(), [])

    def test_function_errors_and_timeouts(self):
        page = self.ask("POST", "/", b"no json", host=self.host)
        self.assertEqual((page.status, page.body), (502, b"Internal Server Error"))
        slow = "import signal\ndef handler(e, c):\n    signal.pause()\n"
        self.engine.create_python("slow", slow, Timeout=1)
        page = self.ask("GET", "/", host=self.url_of("slow") + ".localhost")
        self.assertEqual((page.status, page.body), (502, b"Internal Server Error"))

    def test_throttling(self):
        self.engine.create_python("none", ECHO_BODY)
        self.control("PutFunctionConcurrency", FunctionName="none", ReservedConcurrentExecutions=0)
        page = self.ask("POST", "/", b"1", host=self.url_of("none") + ".localhost")
        self.assertEqual(page.status, 429)
        self.assertEqual(
            json.loads(page.body)["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded"
        )

    def test_cross_origin_rules(self):
        self.engine.create_python("cors", ECHO_BODY)
        host = self.url_of("cors", Cors={
            "AllowOrigins": ["https://a.example"], "AllowMethods": ["POST"], "MaxAge": 5,
            "AllowHeaders": ["x-a"], "ExposeHeaders": ["etag"],
        }) + ".localhost"
        page = self.ask(
            "OPTIONS", "/", host=host, origin="https://a.example",
            access_control_request_method="POST",
        )
        self.assertEqual((page.status, page.body), (200, b""))
        self.assertEqual(page.header("access-control-allow-origin"), "https://a.example")
        self.assertEqual(page.header("access-control-allow-methods"), "POST")
        self.assertEqual(page.header("access-control-max-age"), "5")
        page = self.ask("POST", "/", b'{"statusCode":200}', host=host, origin="https://a.example")
        self.assertEqual(page.header("access-control-allow-origin"), "https://a.example")
        self.assertEqual(page.header("access-control-expose-headers"), "etag")
        page = self.ask("POST", "/", b'{"statusCode":200}', host=host, origin="https://b.example")
        self.assertIsNone(page.header("access-control-allow-origin"))


class Streams(SiteCase):
    @classmethod
    def make(cls):
        cls.create_site("site")
        cls.host = cls.url_of("site", InvokeMode="RESPONSE_STREAM") + ".localhost"

    def test_status_headers_cookies_and_parts(self):
        page = self.ask("GET", "/stream", host=self.host)
        self.assertEqual((page.status, page.body), (201, b"first second"))
        self.assertEqual(page.header("transfer-encoding"), "chunked")
        self.assertEqual(page.header("content-type"), "text/plain")
        self.assertEqual(page.header("x-streamed"), "yes")
        self.assertEqual(page.cookies(), ["a=1", "b=2"])
        page = self.ask("GET", "/plain", host=self.host)
        self.assertEqual((page.status, page.body, page.header("content-type")),
                         (200, b"a,b", "text/csv"))

    def test_more_than_a_buffered_answer_may_have(self):
        page = self.ask("GET", "/large", host=self.host)
        self.assertEqual((page.status, len(page.body)), (201, 8 << 20))

    def test_whole_answers_and_errors_as_without_streaming(self):
        page = self.ask("GET", "/other", host=self.host)
        self.assertEqual((page.status, page.header("content-type")), (200, "application/json"))
        for path in ("/fail", "/no-prelude"):
            page = self.ask("GET", path, host=self.host)
            self.assertEqual((page.status, page.body), (502, b"Internal Server Error"), path)

    def test_a_stream_that_breaks_off_is_seen(self):
        with self.assertRaises(Exception) as raised:
            self.ask("GET", "/break", host=self.host)
        self.assertIn(type(raised.exception).__name__, ("IncompleteRead", "ConnectionResetError"))

    def test_parts_arrive_while_the_function_runs_and_leaving_ends_it(self):
        connection = self.connect()
        connection.request("GET", "/hang", headers={"host": self.host})
        answer = connection.getresponse()
        self.assertEqual(answer.read1(), b"first ")
        request_id = answer.getheader("x-amzn-requestid")
        self.assertEqual(self.engine.status()["InFlight"], 1)
        answer.close()
        connection.close()
        leaks.eventually(lambda: self.engine.status()["InFlight"] == 0, "the call ends", 10)
        outcomes = [record.outcome for record in read_ledger(self.engine.state)]
        self.assertIn("client_gone", outcomes, request_id)

    def test_a_buffered_url_gives_the_same_in_one_piece(self):
        self.create_site("whole")
        page = self.ask("GET", "/stream", host=self.url_of("whole") + ".localhost")
        self.assertEqual((page.status, page.body), (201, b"first second"))
        self.assertEqual(page.header("content-length"), "12")
        self.assertEqual(page.cookies(), ["a=1", "b=2"])


class HttpApis(SiteCase):
    @classmethod
    def make(cls):
        cls.create_site("show")
        cls.engine.create_python("echo", ECHO_BODY)
        cls.engine.create_python("tell", SHOW_EVENT)
        cls.api = cls.control("PutHttpApi", Name="shop", HostNames=["Shop.example.com"], Routes=[
            {"Method": "GET", "Path": "/items/{id}", "FunctionName": "show"},
            {"Path": "/v1/{proxy+}", "FunctionName": "tell", "PayloadFormatVersion": "1.0"},
            {"Method": "POST", "Path": "/echo", "FunctionName": "echo"},
            {"Path": "/gone", "FunctionName": "nobody"},
            {"Path": "$default", "FunctionName": "show"},
        ], StageVariables={"tier": "gold"})
        cls.rest = cls.control("PutHttpApi", Name="old", Type="REST", Stage="prod", Routes=[
            {"Method": "GET", "Path": "/a/{b}", "FunctionName": "tell"},
            {"Method": "POST", "Path": "/echo", "FunctionName": "echo"},
        ])

    def event(self, method, path, /, **headers):
        page = self.ask(method, path, **headers)
        self.assertEqual(page.status, 200, page.body)
        return json.loads(page.body)

    def test_life_of_an_api(self):
        self.assertRegex(self.api["ApiId"], "^[a-z0-9]{10}$")
        self.assertEqual(self.api["HostNames"], ["shop.example.com"])
        self.assertEqual(self.control("GetHttpApi", Name="shop"), self.api)
        page = self.ask("GET", "/hako/http-apis/shop", host="localhost")
        self.assertEqual((page.status, json.loads(page.body)), (200, self.api))
        made = self.ask("PUT", "/hako/http-apis/more", json.dumps(
            {"Routes": [{"Path": "$default", "FunctionName": "echo"}]}
        ).encode(), host="localhost")
        self.assertEqual(made.status, 200, made.body)
        names = [api["Name"] for api in self.control("ListHttpApis")["HttpApis"]]
        self.assertEqual(names, ["more", "old", "shop"])
        listed = self.control("ListHttpApis", MaxItems=2)
        self.assertEqual(listed["NextMarker"], "old")
        rest = self.control("ListHttpApis", Marker="old")["HttpApis"]
        self.assertEqual([api["Name"] for api in rest], ["shop"])
        self.control("DeleteHttpApi", 204, Name="more")
        self.assertEqual(self.engine.control("GetHttpApi", {"Name": "more"}).status, 404)

    def test_refused_apis(self):
        route = {"Path": "/a", "FunctionName": "show"}
        for bad in ({"Routes": []}, {"Routes": [route, route]}, {},
                    {"Routes": [route | {"Path": "a"}]},
                    {"Routes": [route | {"Path": "/{a+}/b"}]},
                    {"Routes": [route | {"Path": "/{x}"}, route | {"Path": "/{y}"}]},
                    {"Routes": [route | {"Path": "$default", "Method": "GET"}]},
                    {"Routes": [route | {"Method": "BREW"}]},
                    {"Type": "REST", "Routes": [route | {"Path": "$default"}]},
                    {"Type": "REST", "Stage": "$default", "Routes": [route]},
                    {"Type": "REST", "Routes": [route | {"PayloadFormatVersion": "2.0"}]}):
            answer = self.engine.control("PutHttpApi", {"Name": "bad"} | bad)
            self.assertEqual(answer.status, 400, bad)
        answer = self.engine.control(
            "PutHttpApi", {"Name": "bad", "HostNames": ["shop.example.com"], "Routes": [route]}
        )
        self.assertEqual(answer.status, 409)

    def test_routes_and_events(self):
        event = self.event("GET", "/api/shop/items/a%20b?x=1", host="localhost")
        self.assertEqual(event["routeKey"], "GET /items/{id}")
        self.assertEqual(event["rawPath"], "/items/a b")
        self.assertEqual(event["pathParameters"], {"id": "a b"})
        self.assertEqual(event["stageVariables"], {"tier": "gold"})
        self.assertEqual(event["requestContext"]["apiId"], self.api["ApiId"])
        self.assertEqual(event["requestContext"]["accountId"], "123456789012")
        by_host = self.event("GET", "/anything", host="shop.example.com:80")
        self.assertEqual((by_host["routeKey"], by_host["rawPath"]), ("$default", "/anything"))
        host = self.api["ApiId"] + ".execute-api.us-east-1.amazonaws.com"
        by_id = self.event("GET", "/", host=host)
        self.assertEqual(by_id["routeKey"], "$default")
        old = self.event("GET", "/api/shop/v1/x/y", host="localhost")
        self.assertEqual((old["version"], old["path"]), ("1.0", "/v1/x/y"))
        self.assertEqual(old["pathParameters"], {"proxy": "x/y"})

    def test_rest_apis(self):
        event = self.event("GET", "/api/old/prod/a/b%2Fc?q=1&q=2", host="localhost")
        self.assertNotIn("version", event)
        self.assertEqual((event["resource"], event["path"]), ("/a/{b}", "/a/b%2Fc"))
        self.assertEqual(event["requestContext"]["path"], "/prod/a/b%2Fc")
        self.assertEqual(event["requestContext"]["stage"], "prod")
        self.assertEqual(event["multiValueQueryStringParameters"], {"q": ["1", "2"]})
        self.assertIsNone(event["body"])
        page = self.ask("GET", "/api/old/prod/none", host="localhost")
        self.assertEqual((page.status, page.body),
                         (403, b'{"message":"Missing Authentication Token"}'))
        self.assertEqual(self.ask("GET", "/api/old/dev/a/b", host="localhost").status, 404)
        page = self.ask("POST", "/api/old/prod/echo", b'{"statusCode":200,"other":1}')
        self.assertEqual((page.status, page.body), (502, b'{"message": "Internal server error"}'))
        page = self.ask("POST", "/api/old/prod/echo",
                        b'{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a","b"]}}')
        self.assertEqual(page.cookies(), ["a", "b"])

    def test_answers(self):
        page = self.ask("POST", "/api/shop/echo", b'{"statusCode":200,"body":"hi"}')
        self.assertEqual((page.status, page.body), (200, b"hi"))
        self.assertEqual(page.header("content-type"), "text/plain;charset=UTF-8")
        self.assertEqual(page.header("apigw-requestid"), page.header("x-amzn-requestid"))
        page = self.ask("POST", "/api/shop/gone", b"")
        self.assertEqual((page.status, page.body), (500, b'{"message":"Internal Server Error"}'))
        page = self.ask("GET", "/api/none/x")
        self.assertEqual((page.status, page.body), (404, b'{"message":"Not Found"}'))


class Rights(SiteCase):
    settings = {"http_auth": "remote"}

    @classmethod
    def make(cls):
        cls.create_site("signed")
        cls.create_site("open")
        cls.signed = cls.url_of("signed", AuthType="AWS_IAM") + ".localhost"
        cls.open = cls.url_of("open") + ".localhost"

    def expect_forbidden(self, page):
        self.assertEqual(page.status, 403)
        self.assertEqual(page.header("x-amzn-errortype"), "AccessDeniedException")
        self.assertTrue(json.loads(page.body)["Message"].startswith("Forbidden. For trouble"))

    def test_the_event_names_who_may(self):
        page = self.ask("GET", "/", host=self.signed)  # root, on the Unix socket
        self.assertEqual(page.status, 200)
        context = json.loads(page.body)["requestContext"]
        self.assertEqual(context["accountId"], "123456789012")
        self.assertEqual(
            context["authorizer"]["iam"]["userArn"], "arn:aws:iam::123456789012:user/unix/0"
        )

    def test_what_a_proxy_brings_must_be_signed(self):
        self.expect_forbidden(self.ask("GET", "/", host=self.signed, x_forwarded_for="192.0.2.1"))

    def test_an_open_url_needs_the_functions_permission(self):
        self.expect_forbidden(self.ask("GET", "/", host=self.open))
        # A token that is the function's affair is not taken for a signature of ours.
        self.expect_forbidden(self.ask("GET", "/", host=self.open, authorization="Bearer x"))


class Kept(unittest.TestCase):
    def test_urls_and_apis_outlive_the_engine(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            state = os.path.join(folder, "state")
            cors = {"AllowOrigins": ["https://a.example"]}
            with Engine(state=state) as engine:
                engine.create_python("f", ECHO_BODY)
                made = engine.control("CreateFunctionUrlConfig", {
                    "FunctionName": "f", "AuthType": "AWS_IAM", "Cors": cors,
                    "InvokeMode": "RESPONSE_STREAM",
                }).json
                api = engine.control("PutHttpApi", {"Name": "a", "Routes": [
                    {"Method": "GET", "Path": "/{x}", "FunctionName": "f", "Qualifier": "live"},
                ], "Cors": cors, "Description": "d"}).json
            base = "http://127.0.0.1:9000"
            with Engine(state=state, url_base=base + "/") as engine:
                got = engine.control("GetFunctionUrlConfig", {"FunctionName": "f"}).json
                url_id = ID.fullmatch(made["FunctionUrl"])[1]
                self.assertEqual(got.pop("FunctionUrl"), f"{base}/url/{url_id}/")
                self.assertEqual(got.pop("LastModifiedTime"), made["CreationTime"])
                self.assertEqual(got, {k: v for k, v in made.items() if k != "FunctionUrl"})
                again = engine.control("GetHttpApi", {"Name": "a"}).json
                self.assertEqual(again, api | {"ApiEndpoint": f"{base}/api/a/"})


class WebApp(SiteCase):
    @classmethod
    def make(cls):
        folder = pathlib.Path(SOURCE_ROOT) / "examples" / "web-app"
        files = {"app.py": (folder / "app.py").read_text()}
        cls.engine.create("web-app", files, handler="app.handler")
        cls.url_of("web-app")

    def test_as_a_browser_uses_it(self):
        page = self.ask("GET", "/url/web-app/", host="localhost")
        self.assertEqual(page.header("content-type"), "text/html; charset=utf-8")
        self.assertIn(b"Nobody has signed yet.", page.body)
        self.assertIn(b'action="/url/web-app/sign"', page.body)
        signed = self.ask("POST", "/url/web-app/sign", b"name=Zo%C3%AB",
                          content_type="application/x-www-form-urlencoded", host="localhost")
        self.assertEqual((signed.status, signed.header("location")), (303, "/url/web-app/"))
        cookie = "; ".join(value.split(";")[0] for value in signed.cookies())
        page = self.ask("GET", "/url/web-app/", cookie=cookie, host="localhost")
        self.assertIn("Welcome back, Zoë!".encode(), page.body)
        picture = self.ask("GET", "/url/web-app/flag.png", host="localhost")
        self.assertEqual(picture.header("content-type"), "image/png")
        self.assertEqual(picture.body[:8], b"\x89PNG\r\n\x1a\n")


if __name__ == "__main__":
    unittest.main()
