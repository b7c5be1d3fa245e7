"""Makes a picture small. Pillow comes from the layer, not from the machine."""

import base64
import io
import json

from PIL import Image, ImageOps


def handler(event, context):
    asked = json.loads(event)
    picture = Image.open(io.BytesIO(base64.b64decode(asked["data"])))
    size = picture.size
    small = ImageOps.exif_transpose(picture).convert("RGB")
    small.thumbnail((asked["edge"], asked["edge"]))
    target = io.BytesIO()
    small.save(target, "JPEG", quality=85)
    print(f"{asked['name']}: {size[0]}x{size[1]} -> {small.size[0]}x{small.size[1]}")
    return {"name": asked["name"], "from": size, "to": small.size,
            "data": base64.b64encode(target.getvalue()).decode()}
