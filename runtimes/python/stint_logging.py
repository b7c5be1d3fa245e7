"""Sets up the standard logging module at the moment user code first imports it.

`{time} {request id} [LEVEL] message`, on standard output, from INFO up, as users of upstream expect. Importing
logging costs milliseconds of every cold start, so code that does not log does not pay for it.
"""
import sys


class Hook(object):
    """A finder that steps aside after the first import of logging."""

    def __init__(self, runtime):
        self.runtime = runtime

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = Loader(spec.loader, spec, self.runtime)
                return spec
        return None


class Loader(object):
    """Loads the real module, then configures it."""

    def __init__(self, loader, spec, runtime):
        self.loader, self.spec, self.runtime = loader, spec, runtime

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.spec.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        configure(module, self.runtime)


def configure_when_imported(runtime):
    if "logging" in sys.modules:
        configure(sys.modules["logging"], runtime)
    else:
        sys.meta_path.insert(0, Hook(runtime))


def configure(logging, runtime):
    import time

    class Formatter(logging.Formatter):
        converter = time.gmtime

        def format(self, record):
            record.request_id = runtime.request_id
            return logging.Formatter.format(self, record)

    class Handler(logging.StreamHandler):
        """Writes to whatever standard output is now."""

        def __init__(self):
            logging.Handler.__init__(self)

        @property
        def stream(self):
            return sys.stdout

    handler = Handler()
    handler.setFormatter(Formatter(
        "%(asctime)s.%(msecs)03dZ %(request_id)s [%(levelname)s] %(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    import os
    level = os.environ.get("ALIYUN_FC_LOG_LEVEL", "").upper()
    root.setLevel({"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40}.get(level, 20))
