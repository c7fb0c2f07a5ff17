"""The Python runtime of hako: behaves like AWS Lambda's, over the channel instead of HTTP.

It is compiled into hako-zygote-python, imported once there, and serves in every worker cloned from
it. `preload` runs in the zygote, `serve` in the worker. Texts of errors and log lines are AWS's.
"""

import decimal
import errno
import importlib
import json
import logging
import math
import os
import re
import sys
import time
import traceback
import types

import _hako

# What user code usually imports: a worker finds them ready. Left out because of what they cost in
# the zygote: see README.md beside this file.
PRELOADED = (
    "base64",
    "collections",
    "datetime",
    "functools",
    "io",
    "random",
    "urllib.parse",
    "uuid",
)

THIS_FILE = "<hako>"
LOG_INDENT = "\u00a0"  # AWS indents traces in the log with no-break spaces


class Fault(Exception):
    """An error of the runtime's own, with AWS's name for it."""

    def __init__(self, error_type, message, trace=()):
        super().__init__(message)
        self.error_type = error_type
        self.trace = list(trace)


# ---- what a handler sees of its invocation ----


class _Record:
    """Named values, None where the caller gave none."""

    __slots__ = ()

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        fields = ",".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{type(self).__name__}([{fields}])"


class Client(_Record):
    __slots__ = (
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(_Record):
    __slots__ = ("custom", "env", "client")

    def __init__(self, values):
        super().__init__(values)
        if self.client is not None:
            self.client = Client(self.client)


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class LambdaContext:
    """The second argument of a handler."""

    # hako's own, for handlers that are generators; read when the first part is there.
    response_content_type = "application/octet-stream"
    http_response = None

    def __init__(self, facts, request_id, arn, client_context, identity, deadline_us):
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        (
            self.function_name,
            self.function_version,
            self.memory_limit_in_mb,
            self.log_group_name,
            self.log_stream_name,
        ) = facts
        self.client_context = None if client_context is None else ClientContext(client_context)
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )
        self._deadline_us = deadline_us

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_us - time.monotonic_ns() // 1000) // 1000

    def log(self, message):
        write_log(str(message))

    def __repr__(self):
        fields = ",".join(
            f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_")
        )
        return f"LambdaContext([{fields}])"


def context_facts():
    names = ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE")
    names += ("LOG_GROUP_NAME", "LOG_STREAM_NAME")
    return tuple(os.environ.get("AWS_LAMBDA_" + name) for name in names)


def parse_context_json(text, what):
    try:
        return json.loads(text)
    except ValueError as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse {what} JSON: {error}"
        ) from None


def make_context(facts, invocation):
    request_id, arn, _, client_context, identity, deadline_us = invocation
    client_values = None
    identity_values = {}
    if client_context:
        client_values = parse_context_json(client_context, "Client Context")
    if identity:
        identity_values = parse_context_json(identity, "Cognito Identity")
    return LambdaContext(facts, request_id, arn, client_values, identity_values, deadline_us)


# ---- JSON as AWS's runtime reads and writes it ----


class Marshaller:
    """json with the habits of the encoder AWS uses: Decimal is a number, bytes are text, named
    tuples are objects, NaN is allowed."""

    def __init__(self, execution_environment):
        # Managed runtimes escape non-ASCII text up to python3.11 and leave it alone from 3.12 on.
        version = re.fullmatch(r"AWS_Lambda_python3\.(\d+)", execution_environment or "")
        self._readable = version is not None and int(version.group(1)) >= 12
        self._encoder = json.JSONEncoder(
            ensure_ascii=not self._readable, default=self._encode_other
        )
        self._decode = json.JSONDecoder().decode
        self._decimal_mark = None

    def decode(self, text):
        return self._decode(text)

    def encode(self, value):
        """The JSON text of `value`: str if it is all ASCII, which the channel takes without another
        copy, else bytes."""
        if _hako.has_namedtuple(value):
            value = name_fields(value)
        self._decimal_mark = None
        text = self._encoder.encode(value)
        if self._decimal_mark is not None:
            # A Decimal keeps all its digits, which json can only be made to write as a string.
            text = re.sub(f'"{self._decimal_mark}([^"]*)"', r"\1", text)
        return text.encode() if self._readable else text

    def encode_error(self, error):
        try:
            return self.encode(error)
        except UnicodeEncodeError:  # half of a surrogate pair, in somebody's message
            return json.dumps(error)

    def _encode_other(self, value):
        if isinstance(value, decimal.Decimal):
            if value.is_nan():
                return math.nan
            if self._decimal_mark is None:
                self._decimal_mark = os.urandom(16).hex()  # nothing a handler could have written
            return self._decimal_mark + str(value)
        if isinstance(value, bytes):
            return value.decode()
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def name_fields(value):
    if isinstance(value, dict):
        return {key: name_fields(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: name_fields(item) for key, item in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [name_fields(item) for item in value]
    return value


# ---- errors ----


def make_error(message, error_type, trace, request_id):
    return {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": trace,
    }


def describe_exception(error, request_id):
    """The error answer for what user code raised; our own frames are left out."""
    if isinstance(error, Fault):
        return make_error(str(error), error.error_type, error.trace, request_id)
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename == THIS_FILE:
        del frames[0]
    # Plain tuples: without columns, as AWS prints them.
    lines = traceback.format_list([(f.filename, f.lineno, f.name, f.line) for f in frames])
    return make_error(str(error), type(error).__name__, lines, request_id)


def log_error(error):
    head = "[ERROR]"
    if error["errorType"]:
        head += " " + error["errorType"]
    if error["errorMessage"]:
        head += (": " if error["errorType"] else " ") + error["errorMessage"]
    lines = [head, "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append(LOG_INDENT * (len(line) - len(text)) + text)
    text = "\n".join(lines) + "\n"
    write_log(text.encode(errors="backslashreplace").decode())


# ---- logging ----


def write_log(text):
    """Into whatever sys.stdout is now, or past it when a handler has closed or removed it."""
    stream = sys.stdout
    if stream is None or getattr(stream, "closed", False):
        os.write(2, text.encode(errors="backslashreplace"))
    else:
        stream.write(text)


class LogHandler(logging.Handler):
    def emit(self, record):
        write_log(self.format(record))


class RequestIdFilter(logging.Filter):
    """Gives every record the request it belongs to."""

    request_id = ""

    def filter(self, record):
        record.aws_request_id = self.request_id
        return True


def set_up_logging():
    logging.Formatter.converter = time.gmtime
    handler = LogHandler()
    handler.setFormatter(
        logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
            "%Y-%m-%dT%H:%M:%S",
        )
    )
    handler.addFilter(REQUEST_ID)
    logging.getLogger().addHandler(handler)


REQUEST_ID = RequestIdFilter()


# ---- finding the handler ----


def load_handler(name):
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{name}': {error}") from None
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {module_name} as a handler module",
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from None
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise Fault(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", trace
        ) from None
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{function_name}' missing on module '{module_name}'",
        ) from None


def set_up_environment():
    """Makes the process what INIT says: variables, directory, module path, time zone, log level."""
    # os.environ[...] would call setenv for each; the C side has set all of them at once.
    variables = _hako.take_environment()
    os.environ._data.clear()
    os.environ._data.update(variables)
    time.tzset()
    root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    os.chdir(root)
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    layers = [path for path in layer_paths() if path not in extra]
    sys.path[:0] = [root] + extra + layers
    forget_shadowed_modules([root] + layers)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL")
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        logging.getLogger().setLevel(level)


def layer_paths():
    """Where layers have modules, those that are there. A layer is made for the version the function
    asks for, which need not be the one that runs here."""
    if not os.path.isdir("/opt/python"):
        return []
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    asked = os.environ.get("AWS_EXECUTION_ENV", "").removeprefix("AWS_Lambda_")
    versions = [running] if asked in (running, "") else [running, asked]
    places = [f"/opt/python/lib/{version}/site-packages" for version in versions]
    return [path for path in places if os.path.isdir(path)] + ["/opt/python"]


def forget_shadowed_modules(roots):
    """A package may bring a module named like one that is preloaded here, but would not be on AWS:
    its own must win."""
    names = {name.partition(".")[0] for root in roots for name in os.listdir(root)} & FORGETTABLE
    if names:
        for module in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[module]


# ---- answers in parts ----

HTTP_STREAM_TYPE = "application/vnd.awslambda.http-integration-response"


def parts_of(generator, context, marshaller):
    """What a generator handler yields, as bytes or str, behind what `context` says of it. Nothing
    is begun before the first part, so that an error before it is a plain one."""
    is_first = True
    for part in generator:
        if not isinstance(part, (bytes, str)):
            raise Fault(
                "Runtime.MarshalError",
                f"Unable to marshal response: a generator handler yields str or bytes, "
                f"not {type(part).__name__}",
            )
        if is_first and context.http_response is not None:
            yield marshaller.encode(context.http_response)
            yield b"\0" * 8
        is_first = False
        yield part
    if is_first and context.http_response is not None:
        yield marshaller.encode(context.http_response)
        yield b"\0" * 8


def stream(generator, context, marshaller):
    """Hands on what a generator handler yields: to a caller that takes it as it comes, else joined.
    Answers the kind of the response and its payload."""
    parts = parts_of(generator, context, marshaller)
    part = next(parts, b"")
    is_http = context.http_response is not None
    if not _hako.open_stream(HTTP_STREAM_TYPE if is_http else context.response_content_type):
        joined = [part, *parts]
        return _hako.RESULT, b"".join(p.encode() if isinstance(p, str) else p for p in joined)
    try:
        while part is not None:
            if part:
                _hako.put_stream(part)
            part = next(parts, None)
        return _hako.STREAM_END, b""
    except OSError as error:
        if error.errno == errno.EFBIG and error.__traceback__.tb_next is None:
            generator.close()
            return _hako.TOO_LARGE, b""
        raise StreamBroken from error
    except Exception as error:
        raise StreamBroken from error


class StreamBroken(Exception):
    """The cause came up after the answer had begun to go out."""


# ---- serving ----


def flush():
    for stream in (sys.stdout, sys.stderr):
        # A handler may have closed them, or put something in their place that cannot flush.
        if hasattr(stream, "flush") and not getattr(stream, "closed", False):
            stream.flush()


def fail_init(error, marshaller):
    answer = describe_exception(error, "")
    log_error(answer)
    flush()
    _hako.respond(_hako.INIT_ERROR, marshaller.encode_error(answer))


def invoke(handler, facts, marshaller, invocation, read_event):
    """Calls the handler; answers the kind of the response and its payload."""
    try:
        context = make_context(facts, invocation)
        try:
            event = marshaller.decode(read_event())
        except ValueError as error:
            raise Fault(
                "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
            ) from None
        result = handler(event, context)
        if isinstance(result, bytes):
            return _hako.RESULT, result
        if isinstance(result, types.GeneratorType):
            return stream(result, context, marshaller)
        try:
            return _hako.RESULT, marshaller.encode(result)
        except Exception as error:
            raise Fault(
                "Runtime.MarshalError", f"Unable to marshal response: {error}"
            ) from None
    except StreamBroken as error:
        return _hako.STREAM_ERROR, fail_invocation(error.__cause__, invocation, marshaller)
    except Exception as error:
        return _hako.ERROR, fail_invocation(error, invocation, marshaller)


def fail_invocation(error, invocation, marshaller):
    answer = describe_exception(error, invocation[0])
    log_error(answer)
    return marshaller.encode_error(answer)


def set_trace_id(trace_id):
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def serve_invocations(handler, marshaller):
    facts = context_facts()
    trace_id = None
    while True:
        request = _hako.wait()
        if request == _hako.SHUTDOWN:
            return 0
        if request != _hako.INVOKE:
            raise RuntimeError(f"request {request} is neither INVOKE nor SHUTDOWN")
        invocation = _hako.invocation()
        REQUEST_ID.request_id = invocation[0]
        if invocation[2] != trace_id:
            trace_id = invocation[2]
            set_trace_id(trace_id)
        kind, payload = invoke(handler, facts, marshaller, invocation, _hako.event)
        flush()
        _hako.respond(kind, payload)


def rehearse():
    """Goes once through what INIT and the first invocation will need. A clone shares the zygote's
    memory, but each page it touches for the first time costs a fault: better now, while the blank
    sandbox waits in its pool, than when somebody waits for an answer."""
    source = "import json\ndef handler(event, context):\n    return json.dumps([event])\n"
    exec(compile(source, THIS_FILE, "exec"), {"__name__": "rehearsal"})
    importlib.import_module("colorsys")  # small, and hardly anybody has it loaded
    del sys.modules["colorsys"]
    os.environ["_HANDLER"] = ""
    os.listdir("/")
    os.chdir(os.getcwd())
    time.tzset()
    marshaller = Marshaller(None)
    invocation = ("", "", "", b"", "", 0)
    read_event = '{"a": [1]}'.__str__
    invoke(lambda event, context: event, context_facts(), marshaller, invocation, read_event)
    flush()


def serve():
    """The life of a worker; answers its exit status. SystemExit and other exceptions that are no
    Exception pass through: the process ends with them."""
    sys.stdout.reconfigure(line_buffering=True)
    _hako.attach()
    rehearse()
    request = _hako.wait()
    if request == _hako.SHUTDOWN:
        return 0
    if request != _hako.INIT:
        raise RuntimeError(f"the first request is {request}, not INIT")
    _hako.await_code()
    marshaller = Marshaller(None)
    try:
        set_up_environment()
        marshaller = Marshaller(os.environ.get("AWS_EXECUTION_ENV"))
        handler = load_handler(os.environ.get("_HANDLER", ""))
    except Exception as error:
        fail_init(error, marshaller)
        return 1
    flush()
    _hako.respond(_hako.READY, b"")
    return serve_invocations(handler, marshaller)


def preload():
    """Imports what workers will want and remembers which of it AWS's runtime would not have."""
    ours = {name.partition(".")[0] for name in sys.modules}
    for name in PRELOADED:
        importlib.import_module(name)
    loaded = {name.partition(".")[0] for name in sys.modules}
    set_up_logging()
    # The first use of compile() makes the types of the syntax tree: 3 ms no cold start shall pay.
    compile("", THIS_FILE, "exec")
    return loaded - ours


FORGETTABLE = preload()
