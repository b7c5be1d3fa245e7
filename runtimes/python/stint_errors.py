"""How a failure of user code looks on the wire. Imported with the handler; traceback and json only on failure."""
import os
import sys

MESSAGE_CHARS_MAX = 64 * 1024
FRAMES_MAX = 200


class HandlerNotFound(Exception):
    """The configured handler does not exist."""


def describe(error, spec):
    """The error body of §2.6, and the traceback on standard error for the log."""
    try:
        return whole(error, spec)
    except (ImportError, OSError):  # user code has left no descriptor to import with
        return bare(error, spec)


def bare(error, spec):
    """The error body without a stack, made of nothing that would have to be read from a file."""
    def quoted(text):
        plain = lambda c: " " <= c <= "~" and c not in '"\\'
        return '"%s"' % "".join(c if plain(c) else "\\u%04x" % min(ord(c), 0xFFFD) for c in text)
    kind, message = name_of(error, spec)
    body = '{"errorMessage": %s, "errorType": %s, "stackTrace": []}'
    return (body % (quoted(message[:MESSAGE_CHARS_MAX]), quoted(kind))).encode()


def whole(error, spec):
    import json
    frames = user_frames(error.__traceback__)
    kind, message = name_of(error, spec)
    body = {"errorMessage": message[:MESSAGE_CHARS_MAX], "errorType": kind, "stackTrace": frames}
    show(error)
    return json.dumps(body).encode("utf-8", "replace")


def name_of(error, spec):
    module = spec.rpartition(".")[0]
    if spec and isinstance(error, SyntaxError):
        return "UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module, text_of(error))
    if spec and isinstance(error, ImportError):
        return "ImportModuleError", "Unable to import module '%s'" % module
    return type(error).__name__, text_of(error)


def text_of(error):
    try:
        return str(error)
    except Exception as other:  # a __str__ of the user's that fails
        return "<no text: %s>" % type(other).__name__


def user_frames(trace):
    """4-tuples of upstream's form, without our own frames and those of the import machinery."""
    import traceback
    own = os.path.dirname(os.path.abspath(__file__)) + os.sep
    frames = []
    for entry in traceback.extract_tb(trace, FRAMES_MAX):
        if entry.filename.startswith((own, "<frozen importlib")):
            continue
        frames.append([
            'File "%s"' % entry.filename, "line %s" % entry.lineno, "in %s" % entry.name, entry.line or ""])
    return frames


def show(error):
    import traceback
    trace = error.__traceback__
    own = os.path.dirname(os.path.abspath(__file__)) + os.sep
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(own):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
        sys.stderr.write("".join(lines))
    except Exception:
        pass
