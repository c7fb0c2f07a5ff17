"""What the engine frames, read by botocore: botocore_test.py ENCODE_TOOL."""
import random
import subprocess
import sys
import unittest

from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

TOOL = sys.argv.pop(1)


def encode(event_type: str, content_type: str, payload: bytes) -> bytes:
    return subprocess.run(
        [TOOL, event_type, content_type], input=payload, capture_output=True, check=True
    ).stdout


class BotocoreReads(unittest.TestCase):
    def test_every_payload_comes_back(self):
        generator = random.Random(20171214)
        stream = b""
        payloads = [generator.randbytes(size) for size in (0, 1, 7, 4096, 65536, 6291556)]
        for payload in payloads:
            stream += encode("PayloadChunk", "application/octet-stream", payload)
        stream += encode("InvokeComplete", "application/json", b"{}")
        buffer = EventStreamBuffer()
        for at in range(0, len(stream), 100003):
            buffer.add_data(stream[at : at + 100003])
        events = list(buffer)
        self.assertEqual([event.payload for event in events], [*payloads, b"{}"])
        for event in events[:-1]:
            self.assertEqual(
                event.headers,
                {
                    ":event-type": "PayloadChunk",
                    ":content-type": "application/octet-stream",
                    ":message-type": "event",
                },
            )
        self.assertEqual(events[-1].headers[":event-type"], "InvokeComplete")

    def test_botocore_would_see_a_wrong_sum(self):
        message = bytearray(encode("PayloadChunk", "application/octet-stream", b"payload"))
        for at in (9, 20, len(message) - 1):
            spoiled = message.copy()
            spoiled[at] ^= 1
            buffer = EventStreamBuffer()
            buffer.add_data(bytes(spoiled))
            with self.assertRaises(ChecksumMismatch):
                next(buffer)


if __name__ == "__main__":
    unittest.main()
