"""`meson install` gives the documented tree, and the engine runs from it."""
import glob
import json
import os
import subprocess
import tempfile
import unittest

BUILD_ROOT = os.environ["HAKO_BUILD_ROOT"]
EXPECTED = (
    "bin/hakod", "bin/hako", "libexec/hako/hako-spawner", "libexec/hako/hako-zygote",
    "libexec/hako/hako-zygote-python", "include/hako/channel.h", "include/hako/shim.h",
    "include/hako/function.h", "include/hako/function_cpp.h", "include/hako/client.h",
    "include/hako/client.hpp", "lib*/**/libhako-client.so*", "lib/systemd/system/hako.service",
    "lib/systemd/system/hako.socket", "lib/systemd/system/hako-http.socket",
    "lib/sysusers.d/hako.conf", "lib/tmpfiles.d/hako.conf",
    "share/man/man8/hakod.8*", "share/man/man1/hako.1*", "**/hako/__init__.py",
)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="hako-install-")
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run(
            ["meson", "install", "-C", BUILD_ROOT, "--no-rebuild", "--destdir", cls.folder.name],
            check=True, capture_output=True, timeout=60,
        )
        cls.prefix = cls.folder.name + cls.option("prefix")

    @staticmethod
    def option(name):
        done = subprocess.run(
            ["meson", "introspect", "--buildoptions", BUILD_ROOT],
            check=True, capture_output=True, timeout=60,
        )
        return next(item["value"] for item in json.loads(done.stdout) if item["name"] == name)

    def test_every_documented_file_is_there(self):
        for pattern in EXPECTED:
            with self.subTest(pattern):
                found = glob.glob(os.path.join(glob.escape(self.prefix), pattern), recursive=True)
                self.assertTrue(found, f"nothing at {pattern}")

    def test_units_name_the_installed_engine(self):
        path = os.path.join(self.prefix, "lib/systemd/system/hako.service")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(f"ExecStart={self.option('prefix')}/bin/hakod", text)
        self.assertNotIn("@", text)

    def test_programs_start(self):
        for program in ("hakod", "hako"):
            done = subprocess.run(
                [os.path.join(self.prefix, "bin", program), "--version"],
                capture_output=True, text=True, timeout=20, check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("0.1.0", done.stdout)

    def test_headers_compile_alone(self):
        folder = os.path.join(self.prefix, "include")
        for compiler, language, names in (
            ("gcc", "c", ("channel.h", "shim.h", "function.h", "client.h")),
            ("g++", "c++", ("channel.h", "shim.h", "function.h", "client.h", "client.hpp")),
        ):
            for name in names:
                with self.subTest(f"{compiler} {name}"):
                    done = subprocess.run(
                        [compiler, "-x", language, "-Wall", "-Wextra", "-Werror",
                         "-fsyntax-only", "-I", folder, "-include", f"hako/{name}", "-"],
                        input="", text=True, capture_output=True, timeout=60, check=False,
                    )
                    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
