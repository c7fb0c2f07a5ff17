"""Who may do what: signatures on TCP, users on Unix sockets, rights of keys."""
import os
import subprocess
import unittest

from support import leaks, signed
from support.engine import HAKO, Engine
from support.signed import FAR_ADDRESS, PORT, FarEngine, HttpEngine, Key, invoke, request

ECHO = "def handler(event, context):\n    return event\n"
FUNCTIONS = "/2015-03-31/functions/"
DUMMY = Key("test", "test")
FAR = (FAR_ADDRESS, PORT)
NEAR = ("127.0.0.1", PORT)
ANYBODY, SOMEBODY = 64001, 64002


class AccessCase(unittest.TestCase):
    def check_refused(self, reply, status, code, *words):
        self.assertEqual((reply.status, reply.code), (status, code), reply)
        for word in words:
            self.assertIn(word, reply.message)

    def check_fine(self, reply):
        self.assertEqual(reply.status, 200, reply)


class Loopback(AccessCase):
    """http_auth = remote, the default: nobody has to sign, who signs with a key is held to it."""

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.enterClassContext(HttpEngine())
        cls.where = cls.engine.where
        cls.engine.create_python("echo", ECHO)
        cls.engine.create_python("img-1", ECHO)
        cls.invoker = cls.engine.make_key("invoker")
        cls.reader = cls.engine.make_key("reader", "--rights", "control", "--functions", "img-*")

    def test_no_signature_and_any_signature(self):
        self.assertEqual(invoke(self.where).body, b'{"a": 1}')
        self.check_fine(invoke(self.where, key=DUMMY))
        self.check_fine(invoke(self.where, headers={"Authorization": "Bearer nonsense"}))
        self.check_fine(request(self.where, "GET", FUNCTIONS, key=DUMMY))

    def test_invoking_and_control_are_apart(self):
        self.check_fine(invoke(self.where, key=self.invoker))
        self.check_refused(
            request(self.where, "GET", FUNCTIONS + "echo", key=self.invoker),
            403, "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/invoker is not authorized to perform: "
            "lambda:GetFunction on resource: arn:aws:lambda:us-east-1:123456789012:function:echo "
            "because no identity-based policy allows the lambda:GetFunction action",
        )
        self.check_refused(
            invoke(self.where, "img-1", key=self.reader), 403, "AccessDeniedException",
            "user/reader is not authorized to perform: lambda:InvokeFunction",
        )

    def test_patterns_limit_a_key(self):
        self.check_fine(request(self.where, "GET", FUNCTIONS + "img-1", key=self.reader))
        arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aimg-1"
        self.check_fine(request(self.where, "GET", FUNCTIONS + arn, key=self.reader))
        for target in ("echo", ""):
            self.check_refused(
                request(self.where, "GET", FUNCTIONS + target, key=self.reader),
                403, "AccessDeniedException",
            )

    def test_wrong_signatures_of_a_key(self):
        wrong = Key(self.invoker.key_id, "wrong")
        reply = invoke(self.where, key=wrong)
        self.check_refused(
            reply, 403, "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details.",
        )
        self.assertNotIn(self.invoker.secret.encode(), reply.body)
        late = {"shift_s": -301}, "Signature expired: "
        early = {"shift_s": 310}, "Signature not yet current: "
        region = {"region": "eu-west-1"}, "Credential should be scoped to a valid region, not 'eu-"
        service = {"service": "s3"}, "Credential should be scoped to correct service: 'lambda'."
        for options, text in (late, early, region, service):
            with self.subTest(text):
                reply = invoke(self.where, key=self.invoker, **options)
                self.check_refused(reply, 403, "InvalidSignatureException", text)

    def test_odd_targets_and_headers(self):
        for name in ("echo%3A%24LATEST", "123456789012%3Afunction%3Aecho"):
            self.check_fine(invoke(self.where, name, key=self.invoker))
        self.check_fine(invoke(self.where, query="Qualifier=%24LATEST", key=self.invoker))
        tail = {"X-Amz-Log-Type": "Tail", "X-Odd": "  a   b  "}
        self.check_fine(invoke(self.where, key=self.invoker, headers=tail))

    def test_what_comes_from_elsewhere_is_not_local(self):
        for header in ({"X-Forwarded-For": "203.0.113.7"}, {"Via": "1.1 proxy"},
                       {"Origin": "https://example.org"}, {"Host": "rebound.example"}):
            with self.subTest(header):
                self.check_refused(
                    invoke(self.where, headers=header), 403, "MissingAuthenticationTokenException",
                    "Missing Authentication Token",
                )
                self.check_fine(invoke(self.where, headers=header, key=self.invoker))


class FromAfar(AccessCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = cls.enterClassContext(FarEngine())
        cls.engine.create_python("echo", ECHO)
        cls.key = cls.engine.make_key("amy", "--rights", "invoke,control")

    def from_afar(self, call, *arguments, **options):
        return self.engine.reply_inside(call, FAR, *arguments, **options)

    def test_who_does_not_sign_is_refused(self):
        missing = 403, "MissingAuthenticationTokenException"
        self.check_refused(self.from_afar(invoke), *missing)
        for target in (FUNCTIONS, FUNCTIONS + "echo", "/no/such/path", "/metrics", "/status"):
            with self.subTest(target):
                self.check_refused(self.from_afar(request, "GET", target), *missing)
        self.assertEqual(self.from_afar(request, "GET", "/healthz").body, b"ok\n")
        self.check_fine(self.engine.reply_inside(invoke, NEAR))

    def test_who_signs_with_nothing_of_ours_is_refused(self):
        self.check_refused(
            self.from_afar(invoke, key=DUMMY), 403, "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
        self.check_refused(
            self.from_afar(invoke, headers={"Authorization": "Bearer abc"}),
            403, "IncompleteSignatureException", "Invalid key=value pair (missing equal-sign)",
        )

    def test_who_signs_with_a_key_is_served(self):
        self.assertEqual(self.from_afar(invoke, key=self.key).body, b'{"a": 1}')
        self.check_fine(self.from_afar(request, "GET", FUNCTIONS, key=self.key))
        self.check_fine(self.from_afar(request, "GET", "/metrics", key=self.key))
        large = b'"' + b"x" * 1_000_000 + b'"'
        target = FUNCTIONS + "echo/invocations"
        self.check_fine(self.from_afar(request, "POST", target, body=large, key=self.key))
        self.assertEqual(self.from_afar(request, "POST", target, body=large).status, 413)

    def test_a_key_goes_at_once_and_comes_back(self):
        key = self.engine.make_key("bob")
        for command, status in (("disable", 403), ("enable", 200), ("delete", 403)):
            self.assertEqual(self.engine.cli("keys", command, key.key_id).returncode, 0)
            self.assertEqual(self.from_afar(invoke, key=key).status, status, command)

    def test_rotation_leaves_the_old_key_its_grace(self):
        old = self.engine.make_key("eve")
        for grace, status in (("3600", 200), ("0", 403)):
            done = self.engine.cli("keys", "rotate", old.key_id, "--grace", grace)
            lines = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
            new = Key(lines["AWS_ACCESS_KEY_ID"], lines["AWS_SECRET_ACCESS_KEY"])
            self.check_fine(self.from_afar(invoke, key=new))
            self.assertEqual(self.from_afar(invoke, key=old).status, status)


class SwitchedOff(AccessCase):
    def test_everybody_is_served_and_the_log_says_so(self):
        with FarEngine(http_auth="off") as engine:
            engine.create_python("echo", ECHO)
            self.check_fine(engine.reply_inside(invoke, FAR))
            self.assertIn("http_auth=off: whoever reaches", engine.log())
            self.assertIn("warn", engine.log())

    def test_without_keys_nobody_can_sign(self):
        with FarEngine() as engine:
            self.assertIn("no access keys: nobody can sign", engine.log())

    def test_required_on_loopback_too(self):
        with HttpEngine(http_auth="required") as engine:
            engine.create_python("echo", ECHO)
            key = engine.make_key("amy")
            self.check_refused(invoke(engine.where), 403, "MissingAuthenticationTokenException")
            self.check_fine(invoke(engine.where, key=key))
            self.check_fine(invoke(engine.http_socket))


class Once(AccessCase):
    def send_twice(self, engine):
        """The same signed request, as one who listens on the line would repeat it."""
        key = engine.make_key("amy", "--rights", "control")
        host = {"Host": f"{engine.address}:{PORT}"}
        headers = signed.sign("GET", FUNCTIONS, host, b"", key)
        self.check_fine(request(engine.where, "GET", FUNCTIONS, headers=headers))
        return request(engine.where, "GET", FUNCTIONS, headers=headers)

    def test_a_signature_works_once_where_that_is_asked_for(self):
        with HttpEngine(http_auth="required", replay_check="all") as engine:
            self.check_refused(
                self.send_twice(engine), 403, "InvalidSignatureException", "was used before"
            )

    def test_else_as_often_as_one_likes(self):
        with HttpEngine(http_auth="required") as engine:
            self.check_fine(self.send_twice(engine))


def as_user(uid: int, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *command],
        capture_output=True, timeout=60 * leaks.TIME_SCALE, check=False,
    )


class UnixUsers(AccessCase):
    """Frame and HTTP sockets: the kernel says who is there."""

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.enterClassContext(HttpEngine(
            socket_mode=0o666, invoke_users=str(ANYBODY), control_users=f"@{SOMEBODY}",
        ))
        cls.engine.create_python("echo", ECHO)
        cls.engine.make_key("amy")

    def hako(self, uid: int, *arguments: str):
        return as_user(uid, HAKO, "--socket", self.engine.socket_path, *arguments)

    def check_hako(self, uid: int, arguments: list[str], is_allowed: bool):
        done = self.hako(uid, *arguments)
        text = done.stderr.decode()
        with self.subTest(uid=uid, arguments=arguments):
            self.assertEqual(done.returncode == 0, is_allowed, text)
            if not is_allowed:
                self.assertIn("AccessDeniedException (403)", text)
                self.assertIn(f"arn:aws:iam::123456789012:user/unix/{uid} is not authorized", text)

    def test_over_frames(self):
        self.check_hako(ANYBODY, ["invoke", "echo", "{}"], True)
        self.check_hako(ANYBODY, ["list"], False)
        self.check_hako(ANYBODY, ["delete", "echo"], False)
        self.check_hako(SOMEBODY, ["invoke", "echo", "{}"], False)
        self.check_hako(SOMEBODY, ["list"], True)
        self.check_hako(64003, ["invoke", "echo", "{}"], False)
        self.check_hako(64003, ["list"], False)

    def test_keys_are_for_root_and_the_engine(self):
        for uid in (ANYBODY, SOMEBODY):
            self.check_hako(uid, ["keys", "list"], False)
            self.check_hako(uid, ["keys", "create", "me", "--rights", "admin"], False)
        self.check_hako(0, ["keys", "list"], True)
        owner = os.stat(self.engine.state).st_uid
        self.check_hako(owner, ["keys", "list"], True)
        self.check_hako(owner, ["invoke", "echo", "{}"], True)

    def test_over_http(self):
        script = (
            "import socket, sys\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "s.sendall(sys.argv[2].encode() + b' HTTP/1.1\\r\\nHost: localhost\\r\\n"
            "Content-Length: 0\\r\\nConnection: close\\r\\n\\r\\n')\n"
            "data = b''\n"
            "while part := s.recv(65536): data += part\n"
            "print(data.split()[1].decode())\n"
        )
        cases = (
            (ANYBODY, "POST /2015-03-31/functions/echo/invocations", "200"),
            (ANYBODY, "GET /2015-03-31/functions/", "403"),
            (SOMEBODY, "POST /2015-03-31/functions/echo/invocations", "403"),
            (SOMEBODY, "GET /2015-03-31/functions/", "200"),
            (0, "GET /2015-03-31/functions/", "200"),
        )
        for uid, line, status in cases:
            with self.subTest(uid=uid, line=line):
                done = as_user(
                    uid, "/usr/bin/python3", "-c", script, self.engine.http_socket, line
                )
                self.assertEqual(done.stdout.decode().strip(), status, done.stderr.decode())

    def test_by_default_the_files_permissions_decide(self):
        with Engine(socket_mode=0o666) as engine:
            engine.create_python("echo", ECHO)
            for arguments in (["invoke", "echo", "{}"], ["list"]):
                done = as_user(ANYBODY, HAKO, "--socket", engine.socket_path, *arguments)
                self.assertEqual(done.returncode, 0, done.stderr.decode())
            done = as_user(ANYBODY, HAKO, "--socket", engine.socket_path, "keys", "list")
            self.assertIn("AccessDeniedException", done.stderr.decode())


class Secrets(AccessCase):
    def test_they_are_nowhere_to_be_read(self):
        with HttpEngine(log_level="debug", http_auth="required") as engine:
            engine.create_python("echo", ECHO)
            key = engine.make_key("amy", "--rights", "invoke,control")
            self.check_fine(invoke(engine.where, key=key))
            self.check_refused(
                invoke(engine.where, key=Key(key.key_id, "wrong")),
                403, "InvalidSignatureException",
            )
            invoke(engine.where, headers={"Authorization": f"AWS4-HMAC-SHA256 {key.secret}"})
            invoke(engine.where, headers={"Authorization": f"AWS4-HMAC-SHA256 a={key.secret}"})
            with open(os.path.join(engine.state, "secret.key"), encoding="ascii") as file:
                sealing = file.read().strip()
            listed = engine.cli("keys", "list", "--json").stdout.decode()
            shown = [leaks.read_text(engine.log_path), listed, *self.process_texts(engine)]
            for text in shown:
                self.assertNotIn(key.secret, text)
                self.assertNotIn(sealing, text)
            for folder, _, names in os.walk(engine.state):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as file:
                        self.assertNotIn(key.secret.encode(), file.read(), name)
            self.check_no_core(engine)
            for name in ("keys", "secret.key"):
                mode = os.stat(os.path.join(engine.state, name)).st_mode
                self.assertEqual(mode & 0o777, 0o600, name)

    def process_texts(self, engine):
        for pid in {engine.process.pid} | leaks.descendants_of(engine.process.pid):
            for name in ("cmdline", "environ"):
                yield leaks.read_text(f"/proc/{pid}/{name}")

    def check_no_core(self, engine):
        """A crash of the engine must not write its memory to a file."""
        pid = engine.process.pid
        limits = leaks.read_text(f"/proc/{pid}/limits")
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        is_dumpable = os.stat(f"/proc/{pid}/environ").st_uid == os.stat(engine.state).st_uid
        self.assertTrue(core.split()[4:6] == ["0", "0"] or not is_dumpable, core)

    def test_keys_outlive_the_engine_and_kill(self):
        engine = HttpEngine(http_auth="required")
        with engine:
            engine.create_python("echo", ECHO)
            key = engine.make_key("amy")
            engine.kill()
            engine.start()
            self.check_fine(invoke(engine.where, key=key))

    def test_a_lost_key_file_is_said(self):
        engine = HttpEngine()
        with engine:
            engine.make_key("amy")
            engine.stop()
            path = os.path.join(engine.state, "secret.key")
            with open(path, encoding="ascii") as file:
                right = file.read()
            os.unlink(path)
            self.check_start_fails(engine, "cannot be opened: No such file or directory")
            with open(path, "w", encoding="ascii") as file:
                file.write("0" * 64 + "\n")
            os.chmod(path, 0o644)
            self.check_start_fails(engine, "is open to others (mode 0644): chmod 600")
            os.chmod(path, 0o600)
            self.check_start_fails(engine, "damaged, or sealed with another secret key file")
            with open(path, "w", encoding="ascii") as file:
                file.write(right)
            engine.start()

    def check_start_fails(self, engine, text):
        engine.spawn()
        self.assertNotEqual(engine.wait(), 0)
        self.assertIn(text, engine.log())

    def test_unknown_users_are_refused_at_the_start(self):
        engine = HttpEngine(invoke_users="no-such-user-here")
        try:
            self.check_start_fails(engine, "invoke_users: no user named 'no-such-user-here'")
        finally:
            engine.destroy()


if __name__ == "__main__":
    unittest.main()
