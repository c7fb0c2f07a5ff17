"""Makes a thumbnail of a PNG image: the one in the event (base64), or the one beside this file."""

import base64
import os
import zlib

import png

SAMPLE = os.path.join(os.path.dirname(__file__), "sunset.png")
WIDTH_MAX = 1024


def shrink(image, width):
    """Every new pixel is the average of the old ones it covers."""
    height = max(1, image.height * width // image.width)
    channels = image.channels
    rows = []
    for y in range(height):
        top = y * image.height // height
        bottom = max(top + 1, (y + 1) * image.height // height)
        # Sum the covered rows column by column first: each old pixel is then touched once.
        columns = [sum(column) for column in zip(*image.rows[top:bottom])]
        row = bytearray()
        for x in range(width):
            left = x * image.width // width
            right = max(left + 1, (x + 1) * image.width // width)
            covered = (right - left) * (bottom - top)
            for channel in range(channels):
                total = sum(columns[left * channels + channel : right * channels : channels])
                row.append(total // covered)
        rows.append(row)
    return png.Image(width, height, channels, rows)


def handler(event, context):
    if "image" in event:
        data = base64.b64decode(event["image"], validate=True)
    else:
        with open(SAMPLE, "rb") as sample:
            data = sample.read()
    image = png.decode(data)
    width = int(event.get("width", 64))
    if not 1 <= width <= min(WIDTH_MAX, image.width):
        raise ValueError(f"width must be 1 to {min(WIDTH_MAX, image.width)}")
    small = shrink(image, width)
    pixels = b"".join(small.rows)
    answer = {
        "from": [image.width, image.height],
        "to": [small.width, small.height],
        "average_colour": [
            sum(pixels[channel :: small.channels]) // (small.width * small.height)
            for channel in range(small.channels)
        ],
        "pixels_crc32": f"{zlib.crc32(pixels):08x}",
    }
    if event.get("inline", True):
        answer["png"] = base64.b64encode(png.encode(small)).decode()
    return answer
