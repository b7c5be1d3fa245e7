// A function's code as files: out of a zip and back into one, and the templates one begins with.
import { strToU8, unzipSync, zipSync } from "fflate";

export interface CodeFile {
  name: string;
  data: Uint8Array;
  /** Unix permissions. */
  mode: number;
}

/** Files with more than this, or that are no text, are kept and not edited. */
const EDITED_MAX = 1 << 19;
const PLAIN = 0o644;
const PROGRAM = 0o755;

export function unpack(zip: Uint8Array): CodeFile[] {
  const modes = permissions(zip);
  return Object.entries(unzipSync(zip))
    .filter(([name]) => !name.endsWith("/"))
    .map(([name, data]) => ({ name, data, mode: modes.get(name) ?? PLAIN }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** The library keeps no permissions, and a `bootstrap` that is no program does not start: they are read from the
 * archive's directory. */
function permissions(zip: Uint8Array): Map<string, number> {
  const found = new Map<string, number>();
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  let end = zip.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) return found;
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0 && at + 46 <= zip.length; left -= 1) {
    if (view.getUint32(at, true) !== 0x02014b50) break;
    const [name, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true)) as [number, number, number];
    const isUnix = view.getUint8(at + 5) === 3;
    const mode = (view.getUint32(at + 38, true) >>> 16) & 0o777;
    if (isUnix && mode) found.set(new TextDecoder().decode(zip.subarray(at + 46, at + 46 + name)), mode);
    at += 46 + name + extra + comment;
  }
  return found;
}

export function pack(files: CodeFile[]): Uint8Array {
  // The same files make the same bytes: no times.
  const entries = files.map(({ name, data, mode }) => [name, [data, { mtime: "1980-01-01T12:00:00", os: 3, attrs: (0o100000 | mode) << 16 }]] as const);
  return zipSync(Object.fromEntries(entries) as never, { level: 6 });
}

export function base64(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 0x8000) text += String.fromCharCode(...data.subarray(at, at + 0x8000));
  return btoa(text);
}

/** A file's text, if it is one that can be edited. */
export function textOf(file: CodeFile): string | null {
  if (file.data.length > EDITED_MAX) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(file.data);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

export function withText(file: CodeFile, text: string): CodeFile {
  return { ...file, data: strToU8(text) };
}

export interface Template {
  id: "python" | "node" | "http";
  runtime: string;
  handler: string;
  files: () => CodeFile[];
}

const file = (name: string, text: string, mode = PLAIN): CodeFile => ({ name, data: strToU8(text), mode });

export const TEMPLATES: Template[] = [
  {
    id: "python",
    runtime: "python3.10",
    handler: "index.handler",
    files: () => [
      file(
        "index.py",
        `import json
import logging

logger = logging.getLogger()


def handler(event, context):
    """Gets the payload as bytes; what it returns is the result."""
    task = json.loads(event or b"{}")
    logger.info("working on %s", task)
    return {"hello": task.get("name", "world"), "requestId": context.request_id}
`,
      ),
    ],
  },
  {
    id: "node",
    runtime: "nodejs20",
    handler: "index.handler",
    files: () => [
      file(
        "index.js",
        `'use strict';

// Gets the payload as a Buffer; what it returns (or resolves to) is the result.
exports.handler = async (event, context) => {
  const task = JSON.parse(event.toString() || '{}');
  console.log('working on', task);
  return { hello: task.name || 'world', requestId: context.requestId };
};
`,
      ),
    ],
  },
  {
    id: "http",
    runtime: "custom.debian12",
    handler: "index.handler",
    files: () => [
      file(
        "bootstrap",
        `#!/usr/bin/env python3
"""Any HTTP server will do: it answers POST /invoke on the port."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        print("working on", body.decode("utf-8", "replace"), flush=True)
        answer = json.dumps({"hello": "world", "bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


port = int(os.environ.get("FC_SERVER_PORT", "9000"))
ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
`,
        PROGRAM,
      ),
    ],
  },
];
