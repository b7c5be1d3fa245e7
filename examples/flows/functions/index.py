"""The functions of the flows beside this directory. What they remember stands on a volume they share."""

import json
import os

ROOT = "/mnt/shop"


def path(*parts):
    joined = os.path.join(ROOT, *parts)
    os.makedirs(os.path.dirname(joined), exist_ok=True)
    return joined


def write(name, text):
    """At once or not at all; again is the same."""
    draft = path(f"{name}.{os.getpid()}")
    with open(draft, "w") as file:
        file.write(text)
    os.replace(draft, path(name))


# --- saga: what was done is undone when a later step fails -------------------------------------------

def reserve(event, context):
    asked = json.loads(event)
    write(f"seats/{asked['order']}", "taken")
    return {"seat": asked["order"]}


def charge(event, context):
    asked = json.loads(event)
    if asked["amount"] > 100:
        raise ValueError(f"the card does not cover {asked['amount']}")
    return {"receipt": asked["order"]}


def release(event, context):
    asked = json.loads(event)
    if os.path.exists(path("seats", asked["order"])):
        os.remove(path("seats", asked["order"]))
    return {"seat": "free"}


# --- approval: a person answers with the token ------------------------------------------------------

def ask(event, context):
    """Would send a mail; here the question lies on the volume."""
    asked = json.loads(event)
    write(f"questions/{asked['order']}", json.dumps(asked))
    return {}


def pay(event, context):
    return {"paid": json.loads(event)["amount"]}


# --- etl: an outside system takes its time ----------------------------------------------------------

def begin(event, context):
    """Tells the outside system to export; it is done when its file is there."""
    asked = json.loads(event)
    return {"export": asked["export"], "tries": 0}


def look(event, context):
    asked = json.loads(event)
    return {"export": asked["export"], "tries": asked["tries"] + 1,
            "ready": os.path.exists(path("exports", asked["export"]))}


def parts(event, context):
    asked = json.loads(event)
    with open(path("exports", asked["export"])) as file:
        return {"parts": json.load(file)}


def load(event, context):
    return {"rows": len(json.loads(event)["rows"])}


# --- what the example's program needs ---------------------------------------------------------------

def read(event, context):
    """What lies under a name, or nothing."""
    asked = json.loads(event)
    try:
        with open(path(asked["name"])) as file:
            return {"text": file.read()}
    except FileNotFoundError:
        return {"text": None}


def put(event, context):
    asked = json.loads(event)
    write(asked["name"], asked["text"])
    return {}
