"""tools/lint finds what it promises, and is content with a clean tree."""
import os
import subprocess
import tempfile
import unittest

LINT = os.path.join(os.environ["HAKO_SOURCE_ROOT"], "tools", "lint")
CLEAN = {
    "engine/base/a.h": "#pragma once\n",
    "engine/base/a.cc": '#include "engine/base/a.h"\n',
    "engine/base/meson.build": "static_library('a', 'a.cc')\n",
}


class Lint(unittest.TestCase):
    def lint(self, files: dict[str, str]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (CLEAN | files).items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            done = subprocess.run(
                [LINT, folder], capture_output=True, text=True, check=False, timeout=30
            )
            findings = done.stdout.splitlines()[:-1]
            self.assertEqual(done.returncode, 1 if findings else 0, done.stdout + done.stderr)
            return findings

    def test_a_clean_tree(self):
        self.assertEqual(self.lint({}), [])

    def check_finds(self, rule: str, path: str, text: str) -> None:
        folder, name = os.path.split(path)
        listed = {os.path.join(folder, "meson.build"): f"executable('x', 'a.cc', '{name}')\n"}
        findings = self.lint(listed | {path: text})
        self.assertTrue(any(f" {rule}: " in line for line in findings), f"{rule}: {findings}")

    def test_includes_out_of_bounds(self):
        cases = (
            ("engine/base/b.cc", '#include "engine/ring/loop.h"\n'),
            ("engine/fiber/b.cc", '#include "engine/ring/loop.h"\n'),
            ("engine/dispatch/b.cc", '#include "engine/fiber/fiber.h"\n'),
            ("engine/meter/b.cc", '#include "engine/gateway/frame/server.h"\n'),
            ("engine/gateway/b.cc", '#include "sandbox/cgroup.h"\n'),
            ("sandbox/b.cc", '#include "engine/fiber/fiber.h"\n'),
            ("engine/meter/b.cc", "#include <liburing.h>\n"),
            ("engine/ring/b.cc", "#include <boost/context/fiber.hpp>\n"),
            ("sandbox/b.cc", "#include <thread>\n"),
            ("engine/dispatch/b.cc", "#include <unistd.h>\n"),
        )
        for path, text in cases:
            with self.subTest(path + " " + text.strip()):
                self.check_finds("include", path, text)

    def test_banned_calls(self):
        cases = (
            ("unsafe-string", "strcpy(a, b);"), ("unsafe-string", "sprintf(a, b);"),
            ("system", 'system("ls");'), ("rand", "int x = rand();"),
            ("thread", "std::thread t;"), ("catch-all", "try {} catch (...) {}"),
            ("sleep", "usleep(1);"), ("sleep", "std::this_thread::sleep_for(x);"),
        )
        for rule, line in cases:
            with self.subTest(line):
                self.check_finds(rule, "engine/meter/b.cc", line + "\n")
        self.check_finds("test-sleep", "tests/unit/b_test.cc", "sleep(1);\n")
        self.check_finds("bare-skip", "tests/unit/b_test.cc", "GTEST_SKIP();\n")
        self.check_finds("dispatch-clock", "engine/dispatch/b.cc", "auto t = Clock::now();\n")

    def test_text_rules(self):
        self.check_finds("line-length", "engine/meter/b.cc", "// " + "x" * 100 + "\n")
        self.check_finds("trailing-space", "engine/meter/b.cc", "int x; \n")
        self.check_finds("last-line", "engine/meter/b.cc", "int x;")
        self.check_finds("file-length", "engine/meter/b.cc", "\n" * 601)
        self.check_finds("include-guard", "engine/meter/b.h", "int x;\n")

    def test_comments_and_strings_are_no_calls(self):
        source = '// never call system(x)\nconst char* a = "rand()";\nfoo.system(1);\n'
        listed = {"engine/meter/meson.build": "executable('x', 'b.cc')\n"}
        self.assertEqual(self.lint(listed | {"engine/meter/b.cc": source}), [])

    def test_files_listed_by_a_loop(self):
        loop = "foreach n : ['b', 'c']\n  executable(n, n + '_test.cc')\nendforeach\n"
        listed = {"tests/unit/meson.build": loop, "tests/unit/b_test.cc": "int x;\n"}
        self.assertEqual(self.lint(listed), [])
        self.assertEqual(len(self.lint(listed | {"tests/unit/d_test.cc": "int x;\n"})), 1)

    def test_a_forgotten_file(self):
        findings = self.lint({"engine/base/forgotten.cc": "int x;\n"})
        self.assertEqual(len(findings), 1)
        self.assertIn("engine/base/forgotten.cc:1: unlisted: ", findings[0])


if __name__ == "__main__":
    unittest.main()
