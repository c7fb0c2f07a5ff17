"""Reads and writes PNG images with nothing but zlib: 8 bits a channel, not interlaced."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, RGB, grey and alpha, RGBA
COLOUR_TYPES = {channels: colour for colour, channels in CHANNELS.items()}
PIXELS_MAX = 4_000_000


class Image:
    """Rows of bytes, `channels` of them for each pixel."""

    def __init__(self, width, height, channels, rows):
        self.width = width
        self.height = height
        self.channels = channels
        self.rows = rows


def chunks(data):
    """The name and content of each chunk, checksums verified."""
    if not data.startswith(SIGNATURE):
        raise ValueError("this is no PNG image")
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(name + content) != checksum:
            raise ValueError(f"chunk {name.decode('ascii', 'replace')} is damaged")
        yield name, content
        at += 12 + length


def decode(data):
    header = None
    packed = bytearray()
    for name, content in chunks(data):
        if name == b"IHDR":
            header = struct.unpack(">IIBBBBB", content)
        elif name == b"IDAT":
            packed += content
    if header is None:
        raise ValueError("the image has no header")
    width, height, depth, colour, _, _, interlace = header
    if depth != 8 or colour not in CHANNELS or interlace:
        raise ValueError("only 8 bits a channel, without palette and interlacing")
    if width * height > PIXELS_MAX:
        raise ValueError(f"more than {PIXELS_MAX} pixels")
    channels = CHANNELS[colour]
    rows = unfilter(zlib.decompress(packed), width, height, channels)
    return Image(width, height, channels, rows)


def unfilter(data, width, height, channels):
    """Undoes the five predictions of PNG (RFC 2083, section 6)."""
    stride = width * channels
    if len(data) < height * (stride + 1):
        raise ValueError("the image is cut short")
    above = bytearray(stride)
    rows = []
    for y in range(height):
        start = y * (stride + 1)
        kind = data[start]
        row = bytearray(data[start + 1 : start + 1 + stride])
        if kind == 1:
            for i in range(channels, stride):
                row[i] = (row[i] + row[i - channels]) & 255
        elif kind == 2:
            for i in range(stride):
                row[i] = (row[i] + above[i]) & 255
        elif kind == 3:
            for i in range(stride):
                left = row[i - channels] if i >= channels else 0
                row[i] = (row[i] + (left + above[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                left, corner = (row[i - channels], above[i - channels]) if i >= channels else (0, 0)
                row[i] = (row[i] + paeth(left, above[i], corner)) & 255
        elif kind != 0:
            raise ValueError(f"unknown filter {kind}")
        rows.append(row)
        above = row
    return rows


def paeth(left, above, corner):
    guess = left + above - corner
    from_left, from_above, from_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
    if from_left <= from_above and from_left <= from_corner:
        return left
    return above if from_above <= from_corner else corner


def encode(image):
    """Each row as the difference to the one above: simple, and good for photographs."""
    packer = zlib.compressobj(9)
    packed = bytearray()
    above = bytes(image.width * image.channels)
    for row in image.rows:
        packed += packer.compress(b"\x02" + bytes((a - b) & 255 for a, b in zip(row, above)))
        above = row
    packed += packer.flush()
    colour = COLOUR_TYPES[image.channels]
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, colour, 0, 0, 0)
    out = bytearray(SIGNATURE)
    for name, content in ((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")):
        out += struct.pack(">I", len(content)) + name + content
        out += struct.pack(">I", zlib.crc32(name + content))
    return bytes(out)
