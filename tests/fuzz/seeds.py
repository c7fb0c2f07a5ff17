#!/usr/bin/python3
"""Writes the first inputs of each fuzz target to tests/fuzz/corpus/TARGET/seed-*.

Inputs that found something stand beside them under names of their own; this leaves those alone.
"""
import io
import os
import struct
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def header(kind: int, correlation: int, meta: bytes, payload: bytes, **changes: int) -> bytes:
    fields = {"magic": 0x314F4B48, "flags": 0, "status": 0, "reserved": 0} | changes
    return struct.pack("<IHHQIIII", fields["magic"], kind, fields["flags"], correlation, len(meta),
                       len(payload), fields["status"], fields["reserved"])


def frame(kind: int, correlation: int, meta: bytes = b"", payload: bytes = b"", **changes) -> bytes:
    return header(kind, correlation, meta, payload, **changes) + meta + payload


def invoke_meta(name: bytes, qualifier: bytes = b"", context: bytes = b"", tail: int = 0) -> bytes:
    lengths = struct.pack("<BBHHH", 0, tail, len(name), len(qualifier), len(context))
    return lengths + name + qualifier + context


def control_meta(operation: bytes, json: bytes) -> bytes:
    return struct.pack("<HHI", len(operation), 0, len(json)) + operation + json


def piece(how: int, data: bytes) -> bytes:
    return bytes([how]) + struct.pack("<H", len(data)) + data


def text(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def entry(options: int, name: bytes, content: bytes, more: bytes = b"") -> bytes:
    return bytes([options]) + text(name) + text(content) + more


def real_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in (("handler.py", "def handle(e, c): return e\n" * 9),
                              ("lib/a.txt", "")):
            package.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def result_meta() -> bytes:
    return b"r" * 36 + struct.pack("<IQQQQQHHI", 128, 1, 2, 3, 4, 5, 1, 2, 3) + b"7Unlog"


def signed(method: bytes, target: bytes, *headers: bytes) -> bytes:
    request = text(method) + struct.pack("<H", len(target)) + target
    return request + b"".join(text(part) for part in headers)


def statement(principal: bytes, more: bytes = b"") -> bytes:
    return (b'{"Sid":"s","Effect":"Allow","Principal":' + principal +
            b',"Action":"lambda:InvokeFunction","Resource":'
            b'"arn:aws:lambda:us-east-1:123456789012:function:echo"' + more + b"}")


PING, INVOKE, CONTROL = 1, 3, 5
SEEDS = {
    "channel": [
        b"\x00\x00\x03A=1\x04\x01" + b"\x00" * 12 + b"\x05",
        b"\x00\x01\x02{}\x24\x40\x00\x04\x03\x10\x00\x00\x00" + b"\x00" * 8 + b"\x05\x06\x02",
        b"\x00\x01\x00\x00\x00\x00\x04\x05" + b"\xff" * 12 + b"\x05\x03\x80\x00" + b"\x01" * 8,
        # a stream: post, begin with a type, put, take, end
        b"\x00\x07\x02{}\x24\x40\x00\x08\x0atext/plain\x09\x10\x00\x00\x00\x0a\x08\x00\x00\x00"
        b"\x04\x06" + b"\x00" * 12 + b"\x05\x06",
    ],
    "control_request": [  # operation (in the order of engine/model), length of the query, query
        b"\x03\x00" + b'{"FunctionName":"f","Runtime":"python3.11","Handler":"a.b",'
        b'"Role":"arn:aws:iam::123456789012:role/r","Code":{"ZipFile":"UEsFBg=="},'
        b'"Environment":{"Variables":{"AB":"\\u00e9"}},"Timeout":3,"Tags":{"a":"b"},'
        b'"VpcConfig":{"SubnetIds":[]},"Architectures":["x86_64"]}',
        b"\x08\x0dMarker=a%2Fb+" + b'{"MaxItems":50,"FunctionVersion":null}',
        b"\x04\x00" + b'{"DryRun":true,"ZipFile":"AAAA","Publish":false}',
        b"\x0d\x00" + b'{"Name":"live","FunctionVersion":"1",'
        b'"RoutingConfig":{"AdditionalVersionWeights":{"2":0.25}}}',
    ],
    "frame_codec": [
        b"\x01" + frame(INVOKE, 7, invoke_meta(b"f", b"1", b"{}")),
        b"\x01" + frame(CONTROL, 8, control_meta(b"GetFunction", b"{}")),
        b"\x00" + frame(4, 9, result_meta()),
    ],
    "frame_connection": [
        piece(1, frame(PING, 1)) + piece(2, frame(INVOKE, 2, invoke_meta(b"nobody"), b"{}")),
        piece(0, frame(CONTROL, 3, control_meta(b"GetEngineStatus", b""))[:20])
        + piece(3, frame(CONTROL, 3, control_meta(b"GetEngineStatus", b""))[20:]),
        piece(1, frame(CONTROL, 4, control_meta(b"ListFunctions", b"{}")) + frame(PING, 5) * 6),
        piece(1, frame(INVOKE, 6, b"\x00", b"{}") + frame(PING, 7, magic=1)),
        piece(1, frame(CONTROL, 9, control_meta(b"x", b""), b"z" * 900)) + b"\xff",
    ],
    "function_name": [
        b"\x00\x00name", b"\x01\x011name:1", b"\x00\x07$LATESTname:$LATEST",
        b"\x00\x00arn:aws:lambda:us-east-1:123456789012:function:f:alias",
        b"\x01\x00123456789012:function:f", b"\x00\x00us-gov-west-1:123456789012:f.g",
        b"\x00\x00arn:aws:iam::123456789012:role/service/r@x", b"\x01\x00eusc-de-east-1:f",
    ],
    "http_requests": [  # piece length, body limit, the stream
        b"\xff\xff" + b"GET /2015-03-31/functions/?MaxItems=5 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x06\xff" + b"POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"\x02\x01" + b"POST /f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
        b"Expect: 100-continue\r\n\r\n5;a=\"b\"\r\nhello\r\n0A\r\n, chunks!!\r\n0\r\nT: v\r\n\r\n",
        b"\x00\x00" + b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x09\x00" + b"\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        b"\x01\x00" + b"GET http://h/p?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ],
    "http_event": [  # 0: form, headers, method, path, query, body; 1: form, result; 2: cut, stream
        b"\x00\x00\x03" + text(b"Host") + text(b"x.lambda-url.us-east-1.on.aws")
        + text(b"Cookie") + text(b"a=1; b=\xff") + text(b"Content-Type") + text(b"text/plain")
        + text(b"POST") + text(b"/a%2Fb\xc3\xa9") + text(b"q=1&q=%zz&=+") + b"\"body\"\x00\xff",
        b"\x00\x03\x02" + text(b"X-Forwarded-For") + text(b"1.2.3.4, [::1]:80")
        + text(b"Connection") + text(b"close, x") + text(b"GET") + text(b"/url/f:live/x")
        + text(b""),
        b'\x01\x00{"statusCode":200,"headers":{"Content-Type":"text/html","A":1},'
        b'"cookies":["a=1"],"body":"PHA+","isBase64Encoded":true}',
        b'\x01\x03{"statusCode":"201","multiValueHeaders":{"Set-Cookie":["a","b"]},"body":"x"}',
        b'\x01\x00{"statusCode":200,"headers":{"A":"b\\r\\nSet-Cookie: c"}}',
        b'\x02\x04{"statusCode":206,"headers":{"x-a":"1"},"cookies":["c=1"]}' + b"\0" * 8 + b"body",
    ],
    "function_policy": [
        statement(b'"*"'),
        b'{"Version":"2012-10-17","Id":"default","Statement":[' + statement(
            b'{"Service":"s3.amazonaws.com"}',
            b',"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::pictures"}}') + b"]}",
        statement(b'{"AWS":["111122223333","arn:aws:iam::111122223333:user/bob"]}'),
        statement(b'"*"', b',"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}'),
        statement(b'"*"').replace(b"Allow", b"Deny"),
    ],
    "ledger": [
        b"\x00" + (b"\x00" + b"\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00" * 16 + b"\x00\x00") * 2,
        b"\x00\x00" + b"\x00\x01" + b"\x10" * 8 + b"\x01" * 3 + b"\x04\x02" + b"\x10" * 12,
        b"\x00\x02" + b"\xff" * 8 + b"\x01" * 16 + b"\x00",
        b"\x00\x01" + b"\xff" * 8 + b"\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00" * 16,
    ],
    "policy": [
        b"default errno ENOSYS  # unknown\nabove 462 errno ENOSYS  # newer\nallow read  # reads\n"
        b"allow socket if arg0 == AF_UNIX and arg1 & 0xf == SOCK_STREAM  # local\n"
        b"errno EPERM socket  # others\nallow prctl if arg1.64 == 0x100000000  # wide\n",
        b"default kill  # d\nabove 0x1d0 kill  # a\nallow cachestat  # new\n",
    ],
    "route": [
        b"\x04POST\x13Qualifier=%24LATEST" + b"/2015-03-31/functions/a%3Ab/invocations",
        b"\x03GET\x08List=ALL" + b"/2019-09-30/functions/f/provisioned-concurrency/",
        b"\x06DELETE\x15tagKeys=a+b&tagKeys=%" + b"/2017-03-31/tags/arn%3Aaws",
    ],
    "settings": [
        b'state = "/tmp/x"\nbilling_increment_ms = 1\nprice_per_gb_s = 0.1\n',
        b'account = "123456789012"\nfunction_concurrency = "none"\nsocket_mode = 0o660\n',
        b"unknown = 1\n", b'state = """\n',
    ],
    "signature": [
        signed(b"POST", b"/2015-03-31/functions/a%3Ab/invocations?Qualifier=1", b"Host", b"h",
               b"X-Amz-Date", b"20150830T123600Z", b"Authorization",
               b"AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/lambda/aws4_request, "
               b"SignedHeaders=host;x-amz-date, Signature=" + b"0" * 64),
        signed(b"GET", b"/../a//b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830"
               b"%2Fus-east-1%2Flambda%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60"
               b"&X-Amz-SignedHeaders=host&X-Amz-Signature=00", b"host", b"  a  b "),
        signed(b"GET", b"/", b"Date", b"Sun, 30 Aug 2015 12:36:00 GMT", b"authorization",
               b"Bearer x.y.z"),
    ],
    "spawner_link": [
        b"\x81\x00\x00\x01\x80\x81\x03\x01\x00\x01\x05\x00\x07\x00\x00\x00\x81\x00\x02\x05\x00",
        b"\x80\x84\x81\x01\x01\x01\x02\x09\x00\xff\x00\x00\x00",
    ],
    "spawner_packet": [
        b"\x03\x00\xff\x03abc\x40\x00\xff\x01x",
        b"\x00\x03\x01\x03abc\x20\x01\x80\x00",
    ],
    "spawner_request": [
        struct.pack("<IIQII", 1, 0, 1, 128, 512) + b"0a" * 32,
        struct.pack("<IIQ", 2, 0, 7), struct.pack("<IIII", 3, 1, 4, 0), struct.pack("<II", 4, 0),
    ],
    "zip_package": [
        b"\x00" + real_zip(),
        b"\x01" + entry(0, b"a/b.py", b"#!x") + entry(2, b"a/l", b"../c") + entry(3, b"c/", b""),
        b"\x01" + entry(2, b"l", b"..") + entry(0, b"l/x", b"out"),
        b"\x01" + entry(0, b"f", b"data") + entry(2, b"d/up", b"../../x") + entry(6, b"pipe", b""),
    ],
}


def main() -> int:
    for target, seeds in SEEDS.items():
        folder = os.path.join(HERE, "corpus", target)
        os.makedirs(folder, exist_ok=True)
        for number, data in enumerate(seeds, 1):
            with open(os.path.join(folder, f"seed-{number}"), "wb") as file:
                file.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
