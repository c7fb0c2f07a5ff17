"""A small web application behind a function URL: a page, a form, a cookie and a picture."""

import base64
import html
import struct
import urllib.parse
import zlib

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Guest book</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 36em; margin: 2em auto }}</style>
<h1><img src="{base}/flag.png" alt="" width="48" height="32"> Guest book</h1>
<p>{greeting}</p>
<form method="post" action="{base}/sign">
  <label>Your name <input name="name" required maxlength="40"></label>
  <button>Sign</button>
</form>
"""


def png(width, height, pixel):
    """A PNG image of `pixel(x, y)`, three bytes each."""
    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = b"".join(
        b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def stripe(_, y):
    return ((0x1B, 0x6C, 0xA8), (0xF4, 0xF4, 0xF4), (0xD6, 0x45, 0x50))[y * 3 // 32]


# Made once, while the sandbox starts.
FLAG = base64.b64encode(png(48, 32, stripe)).decode()


def cookies_of(event):
    return dict(cookie.split("=", 1) for cookie in event.get("cookies", ()) if "=" in cookie)


def form_of(event):
    body = event.get("body", "")
    if event["isBase64Encoded"]:
        body = base64.b64decode(body).decode()
    return {key: values[-1] for key, values in urllib.parse.parse_qs(body).items()}


def front_page(event):
    name = urllib.parse.unquote(cookies_of(event).get("name", ""))
    greeting = f"Welcome back, {html.escape(name)}!" if name else "Nobody has signed yet."
    # Behind a path of its own (/url/web-app) links need what was taken off.
    base = event["headers"].get("x-forwarded-prefix", "")
    return {
        "statusCode": 200,
        "headers": {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"},
        "body": PAGE.format(greeting=greeting, base=base),
    }


def sign(event):
    name = urllib.parse.quote(form_of(event).get("name", "")[:40])
    base = event["headers"].get("x-forwarded-prefix", "")
    return {
        "statusCode": 303,
        "headers": {"location": f"{base}/"},
        "cookies": [f"name={name}; Path=/; HttpOnly; SameSite=Lax", "seen=1; Path=/"],
        "body": "",
    }


def flag(_):
    return {
        "statusCode": 200,
        "headers": {"content-type": "image/png", "cache-control": "max-age=3600"},
        "body": FLAG,
        "isBase64Encoded": True,
    }


ROUTES = {("GET", "/"): front_page, ("POST", "/sign"): sign, ("GET", "/flag.png"): flag}


def handler(event, context):
    request = event["requestContext"]["http"]
    method = "GET" if request["method"] == "HEAD" else request["method"]
    page = ROUTES.get((method, event["rawPath"]))
    if page is None:
        return {"statusCode": 404, "headers": {"content-type": "text/plain"}, "body": "Not here.\n"}
    return page(event)
