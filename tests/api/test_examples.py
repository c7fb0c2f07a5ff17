"""Every example gives the answer its folder promises, cold and warm."""
import json
import pathlib
import unittest

from support.engine import BUILD_ROOT, SOURCE_ROOT, Engine

FOLDERS = sorted((pathlib.Path(SOURCE_ROOT) / "examples").glob("*/function.json"))


class Examples(unittest.TestCase):
    def test_there_is_one_for_each_runtime(self):
        runtimes = {json.loads(path.read_text())["Runtime"] for path in FOLDERS}
        self.assertLessEqual({"native", "executable"}, runtimes)
        self.assertTrue(any(runtime.startswith("python") for runtime in runtimes), runtimes)

    def test_golden_answers(self):
        with Engine() as engine:
            for path in FOLDERS:
                with self.subTest(path.parent.name):
                    self.check(engine, path.parent, json.loads(path.read_text()))

    def check(self, engine, folder, function):
        if function["Runtime"] in ("native", "executable"):
            code = pathlib.Path(BUILD_ROOT) / "examples" / function["Handler"]
        else:
            code = folder
        done = engine.cli(
            "create", function["FunctionName"], "--runtime", function["Runtime"],
            "--handler", function["Handler"], "--memory", str(function["MemorySize"]),
            "--timeout", str(function["Timeout"]), "--code", str(code),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        event = (folder / "event.json").read_bytes()
        expected = json.loads((folder / "expected.json").read_bytes())
        for start in ("cold", "warm"):
            answer = engine.invoke(function["FunctionName"], raw=event)
            self.assertEqual((answer.status, answer.function_error), (200, False), answer)
            self.assertEqual(answer.json, expected, start)
            self.assertEqual(answer.init_us == 0, start == "warm")


if __name__ == "__main__":
    unittest.main()
