"""The loop of the Python runtime: frames in, handler, frames out (see ../README.md for the frames).

No module beyond the built-in ones is imported before the user's code is: json, logging, traceback and
threading come when they are needed.
"""
import os
import sys
from _struct import Struct
from _thread import allocate_lock, start_new_thread

from stint_context import Context, Stint

CONFIGURE, INITIALIZE, INVOKE, PRE_STOP = 1, 2, 3, 4
LOADED, NOT_LOADED, HOOK_DONE, HOOK_FAILED, RESULT, ERROR, PROGRESS, WAITING = 16, 17, 18, 19, 20, 21, 22, 23
#: What most handlers import, loaded ahead by an interpreter that waits.
LOADED_AHEAD = ("json", "logging", "datetime", "base64", "threading", "traceback", "urllib.parse")

HEADER = Struct("<IBBH")
READ_BYTES = 1 << 16
HEAD_BYTES_MAX = 60000
#: The channel is moved up here, out of the way of user code that expects low descriptors.
CHANNEL_FD_LEAST = 200
F_DUPFD_CLOEXEC = 1030
SIGUSR2 = 12
SIGTERM = 15


class Channel(object):
    """Whole frames over a stream socket. Writing is locked: user threads report progress."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""
        self.lock = allocate_lock()

    def read(self):
        """The next frame as (kind, head, body); ends the process when the node is gone."""
        data = self.rest or self._more()
        while len(data) < 8:
            data += self._more()
        body_len, kind, _, head_len = HEADER.unpack_from(data)
        start = 8 + head_len
        end = start + body_len
        if len(data) < end:
            parts = [data]
            missing = end - len(data)
            while missing > 0:
                part = self._more(max(missing, READ_BYTES))
                parts.append(part)
                missing -= len(part)
            data = b"".join(parts)
        self.rest = data[end:]
        return kind, data[8:start], data[start:end]

    def _more(self, size=READ_BYTES):
        data = os.read(self.fd, min(size, 1 << 20))
        if not data:
            os._exit(0)
        return data

    def write(self, kind, head, body=b""):
        frame = HEADER.pack(len(body), kind, 0, len(head)) + head
        if len(body) <= READ_BYTES:
            frame += body
            body = b""
        with self.lock:
            self._all(frame)
            if body:
                self._all(body)

    def _all(self, data):
        sent = os.write(self.fd, data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                sent += os.write(self.fd, view[sent:sent + (1 << 20)])


class Runtime(object):
    """The state of one instance."""

    def __init__(self, channel):
        self.channel = channel
        self.request_id = ""
        self.handler = None
        self.initializer = ""
        self.pre_stop = ""
        self.forked = False
        self.context_class = Context
        self.cpu_seen = 0.0
        self.getrusage = None
        self.stop_lock = allocate_lock()
        self.ahead = ()

    def wait(self):
        """Started before anybody needs it: loads what is needed anyway, and says that it waits."""
        before = set(sys.modules)
        for name in LOADED_AHEAD:
            __import__(name)
        __import__("stint_errors")
        self.ahead = set(sys.modules) - before
        self.channel.write(WAITING, b"")

    def forget_shadowed(self):
        """The function's own files come before the standard library, also where that was loaded ahead."""
        own = set()
        for place in sys.path[:1] + [entry for entry in sys.path if entry.startswith("/opt/")]:
            try:
                own.update(name.partition(".")[0] for name in os.listdir(place))
            except OSError:
                pass
        if any(name.partition(".")[0] in own for name in self.ahead):
            for name in self.ahead:
                sys.modules.pop(name, None)
        self.ahead = ()

    def configure(self, head, env):
        if env:
            adopt(env)
        fields = head.decode("utf-8").split("\0")
        config = dict(zip(fields[0::2], fields[1::2]))
        set_path(config.get("code_path") or "/code")
        if self.ahead:
            self.forget_shadowed()
        import stint_logging
        stint_logging.configure_when_imported(self)
        self.context_class = Context.of(config, self)
        self.initializer = config.get("initializer") or ""
        self.pre_stop = config.get("pre_stop") or ""
        self.getrusage = load_getrusage()
        if self.pre_stop:
            wait_for_stop_signal(self)
        try:
            self.handler = find(config.get("handler") or "")
        except SystemExit:
            raise
        except BaseException as error:  # whatever user code raises while it is imported
            body = error_body(error, config.get("handler") or "")
            flush()
            self.channel.write(NOT_LOADED, b"", body)
            return
        flush()
        self.channel.write(LOADED, b"")

    def hook(self, spec, head):
        fields = [head.decode("utf-8"), "", "0", "", ""]
        context = self.context_class(fields)
        try:
            find(spec)(context)
        except SystemExit:
            raise
        except BaseException as error:
            body = error_body(error, spec)
            flush()
            self.channel.write(HOOK_FAILED, b"", body)
            return
        flush()
        self.channel.write(HOOK_DONE, b"")

    def invoke(self, head, event):
        fields = head.decode("utf-8").split("\0")
        self.request_id = fields[0]
        try:
            result = self.handler(event, self.context_class(fields))
            if type(result) is not bytes:
                result = to_bytes(result)
        except SystemExit:
            raise
        except BaseException as error:
            if self.forked:
                os._exit(1)
            body = error_body(error, "")
            flush()
            self.request_id = ""
            self.channel.write(ERROR, self.used() + b"\0U", body)
            return
        if self.forked:
            # A child of user code came back from the handler: the answer is its parent's to give.
            os._exit(0)
        flush()
        self.request_id = ""
        self.channel.write(RESULT, self.used(), result)

    def used(self):
        """CPU microseconds since the last answer and peak kilobytes."""
        if self.getrusage is None:
            return b"0\x000"
        usage = self.getrusage(0)
        cpu = usage[0] + usage[1]
        spent = cpu - self.cpu_seen
        self.cpu_seen = cpu
        return b"%d\0%d" % (spent * 1000000, usage[2])

    def stop_beside(self, request_id):
        """preStop while the handler may still run in the main thread."""
        if self.stop_lock.acquire(False):
            self.hook(self.pre_stop, request_id.encode("utf-8"))

    def report(self, permille, message):
        room = HEAD_BYTES_MAX - len(permille)
        head = permille.encode("ascii") + b"\0" + message.replace("\0", " ").encode("utf-8", "replace")[:room]
        self.channel.write(PROGRESS, head)

    def run(self):
        read = self.channel.read
        while True:
            kind, head, body = read()
            if kind == INVOKE:
                self.invoke(head, body)
            elif kind == CONFIGURE:
                self.configure(head, body)
            elif kind == INITIALIZE:
                self.request_id = head.decode("utf-8")
                self.hook(self.initializer, head)
            elif kind == PRE_STOP:
                self.request_id = head.decode("utf-8")
                self.hook(self.pre_stop, head)
            else:
                raise SystemExit("frame of unknown kind %d" % kind)


def adopt(env):
    """Takes the environment of the function in place of the one it was started with."""
    parts = env.decode("utf-8", "surrogateescape").split("\0")
    wanted = dict(zip(parts[0::2], parts[1::2]))
    for name in list(os.environ):
        if name not in wanted:
            del os.environ[name]
    zone = os.environ.get("TZ")
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if os.environ.get("TZ") != zone:
        import time
        time.tzset()


def to_bytes(result):
    if isinstance(result, str):
        return result.encode("utf-8", "surrogateescape")
    if isinstance(result, (bytes, bytearray, memoryview)):
        return bytes(result)
    import json
    return json.dumps(result).encode("utf-8")


def find(spec):
    """The callable behind `file.func`, `dir/file.func` or `dir.file.func`."""
    from stint_errors import HandlerNotFound
    path, _, name = spec.rpartition(".")
    if not path or not name:
        raise HandlerNotFound("Bad handler '%s': it must look like file.function" % spec)
    module_name = path.strip("/").replace("/", ".")
    __import__(module_name)
    found = getattr(sys.modules[module_name], name, None)
    if not callable(found):
        raise HandlerNotFound("Handler '%s' is missing on module '%s'" % (name, path))
    return found


def error_body(error, spec):
    from stint_errors import describe
    return describe(error, spec)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # user code may have closed or replaced it
            pass


def set_path(code_path):
    """Code first, then layers, then what the distribution has."""
    own = os.path.dirname(os.path.abspath(__file__))
    rest = [entry for entry in sys.path if entry and os.path.abspath(entry) != own]
    version = "python%d.%d" % sys.version_info[:2]
    layers = ["/opt/python", "/opt/python/lib/%s/site-packages" % version, "/opt/python/site-packages"]
    distribution = ["/usr/local/lib/%s/dist-packages" % version, "/usr/lib/python3/dist-packages"]
    added = [entry for entry in distribution if entry not in rest and os.path.isdir(entry)]
    sys.path[:] = [code_path] + [entry for entry in layers if os.path.isdir(entry)] + rest + added + [own]
    try:
        os.chdir(code_path)
    except OSError:
        pass


def load_getrusage():
    try:
        from resource import getrusage
        return getrusage
    except ImportError:
        return None


def wait_for_stop_signal(runtime):
    """SIGUSR2 is blocked everywhere and taken by one thread, which runs preStop beside the handler."""
    import _signal
    from time import sleep
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [SIGUSR2])

    def wait():
        _signal.sigwait([SIGUSR2])
        # The signal may be faster than the invocation it is about.
        for _ in range(1000):
            if runtime.request_id:
                break
            sleep(0.001)
        runtime.stop_beside(runtime.request_id)

    start_new_thread(wait, ())


def dump_stacks_on_terminate():
    """When the time is over the log shows where every thread was; then the signal takes its course."""
    try:
        import faulthandler
        faulthandler.register(SIGTERM, file=2, all_threads=True, chain=True)
    except (ImportError, AttributeError, ValueError):
        pass


def line_buffered(fd, errors):
    import io
    raw = io.FileIO(fd, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw, 8192), encoding="utf-8", errors=errors, newline="\n", line_buffering=True)


def main():
    import fcntl
    fd = fcntl.fcntl(3, F_DUPFD_CLOEXEC, CHANNEL_FD_LEAST)
    os.close(3)
    runtime = Runtime(Channel(fd))
    Stint.runtime = runtime
    sys.stdout = sys.__stdout__ = line_buffered(1, "surrogateescape")
    sys.stderr = sys.__stderr__ = line_buffered(2, "backslashreplace")
    import builtins
    for name in ("exit", "quit"):  # the interpreter is started without `site`
        if not hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
    if hasattr(os, "register_at_fork"):
        def child():
            runtime.forked = True
            runtime.channel.lock = allocate_lock()
        os.register_at_fork(after_in_child=child)
    dump_stacks_on_terminate()
    if "--wait" in sys.argv[1:]:
        runtime.wait()
    del sys.argv[1:]
    runtime.run()
