"""Packages, as the confined engine stores them."""
import unittest

from support.engine import Engine


class ManyFiles(unittest.TestCase):
    def test_one_of_many_files_is_stored(self):
        # Over 128 files they are synced by another call, which the engine's policy did not allow.
        files = {f"data/{number}": str(number) for number in range(300)}
        source = "import os\ndef handler(event, context):\n    return len(os.listdir('data'))\n"
        with Engine() as engine:
            engine.create("many", {"main.py": source} | files)
            self.assertEqual(engine.result("many"), 300)
