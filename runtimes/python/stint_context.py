"""What a handler gets as its second argument. The names are upstream's; `stint` is ours.

What is the same for all invocations of an instance sits on a class made once; an invocation only carries its
fields.
"""


class Plain(object):
    """Named values, shown by their names."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __repr__(self):
        shown = {name: value for name, value in self.__dict__.items() if "secret" not in name and "token" not in name}
        return "%s(%r)" % (type(self).__name__, shown)

    def to_dict(self):
        return dict(self.__dict__)


class Credentials(Plain):
    pass


class FunctionMeta(Plain):
    pass


class ServiceMeta(Plain):
    pass


class Tracing(Plain):
    pass


class Stint(object):
    """Beyond upstream: what a task may tell the platform while it runs."""

    runtime = None

    def __init__(self, fields):
        self.task_id = fields[1]
        self.idempotency_key = fields[3]

    def progress(self, value, message=""):
        """How far the task is: a float from 0 to 1, or an int in thousandths."""
        permille = int(round(value * 1000)) if isinstance(value, float) else int(value)
        self.runtime.report("%d" % max(0, min(1000, permille)), str(message))

    def heartbeat(self, message=""):
        """Says only that the task is alive."""
        self.runtime.report("-", str(message))


class Context(object):
    """Made into a subclass per instance by `of`."""

    _runtime = None
    _config = {}
    _services = {}
    account_id = ""
    region = ""
    credentials = None
    function = None
    tracing = None
    log_project = ""
    log_store = ""

    def __init__(self, fields):
        self._fields = fields
        self.request_id = fields[0]

    @classmethod
    def of(cls, config, runtime):
        memory, timeout = int(config.get("memory") or 0), int(config.get("timeout") or 0)
        return type("Context", (cls,), {
            "_runtime": runtime,
            "_config": config,
            "_services": {},
            "account_id": config.get("account_id", ""),
            "region": config.get("region", ""),
            "log_project": config.get("log_project", ""),
            "log_store": config.get("log_store", ""),
            "credentials": Credentials(
                access_key_id=config.get("access_key_id", ""),
                access_key_secret=config.get("access_key_secret", ""),
                security_token=config.get("security_token", "")),
            "function": FunctionMeta(
                name=config.get("function_name", ""), handler=config.get("handler", ""),
                memory=memory, timeout=timeout,
                version_id=config.get("version_id", ""), qualifier=config.get("version_id", "")),
            "tracing": Tracing(span_context="", jaeger_endpoint="", span_baggages={}),
        })

    @property
    def retry_count(self):
        return int(self._fields[2] or 0)

    @property
    def qualifier(self):
        return self._fields[4]

    @property
    def service(self):
        qualifier = self._fields[4]
        service = self._services.get(qualifier)
        if service is None:
            service = self._services[qualifier] = ServiceMeta(
                name="", log_project=self.log_project, log_store=self.log_store, qualifier=qualifier,
                version_id=self._config.get("version_id", ""))
        return service

    @property
    def logger(self):
        import logging
        return logging.getLogger()

    @property
    def stint(self):
        made = self.__dict__.get("_stint")
        if made is None:
            made = self._stint = Stint(self._fields)
        return made

    def to_json(self):
        import json
        return json.dumps({
            "request_id": self.request_id, "region": self.region, "account_id": self.account_id,
            "retry_count": self.retry_count, "function": self.function.to_dict(),
            "service": self.service.to_dict(), "tracing": self.tracing.to_dict()})
