"""What a file is, by a small neural network (Magika's, run by ONNX Runtime on the processor).

The model is loaded once for each instance, by the initializer; requests find it warm.
"""

import base64
import json

model = None


def initialize(context):
    global model
    from magika import Magika
    model = Magika()


def verdict(content):
    found = model.identify_bytes(content)
    return {"label": str(found.output.label), "score": round(float(found.score), 4)}


def one(event, context):
    """Online: the bytes of one file."""
    return json.dumps(verdict(event))


def many(event, context):
    """Offline: `[{"name", "data": base64}, …]`; says how far it is."""
    files = json.loads(event)
    found = {}
    for at, file in enumerate(files):
        found[file["name"]] = verdict(base64.b64decode(file["data"]))
        context.stint.progress((at + 1) / len(files))
    return json.dumps(found)
