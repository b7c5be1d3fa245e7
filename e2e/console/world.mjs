// A server of its own with work that runs: functions that succeed, fail, write and wait; tasks of them; flows with
// executions under way. Tests and screenshots look at the same world.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";

const DEADLINE_MS = 60_000;

/** Polls until something holds; what is true is returned. */
export async function until(what, look, deadline = DEADLINE_MS) {
  const end = Date.now() + deadline;
  let last;
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not happen in ${deadline} ms${last ? `: ${last}` : ""}`);
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A zip of files, as small as one can be written: what the API takes as code. */
export function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, text] of Object.entries(files)) {
    const data = Buffer.from(text);
    const packed = deflateRawSync(data);
    const label = Buffer.from(name);
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0);
    head.writeUInt16LE(8, 4);
    head.writeUInt32LE(crc(data), 10);
    head.writeUInt32LE(packed.length, 14);
    head.writeUInt32LE(data.length, 18);
    head.writeUInt16LE(label.length, 22);
    parts.push(Buffer.from("PK\x03\x04", "latin1"), head, label, packed);
    // Comment, disk, internal attributes; permissions; where it begins.
    const entry = Buffer.alloc(14);
    entry.writeUInt32LE((0o100644 << 16) >>> 0, 6);
    entry.writeUInt32LE(at, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x03", "latin1"), head, entry, label);
    at += 30 + label.length + packed.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  const count = Object.keys(files).length;
  end.writeUInt16LE(count, 4);
  end.writeUInt16LE(count, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, list, Buffer.from("PK\x05\x06", "latin1"), end]);
}

function crc(data) {
  let sum = ~0;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
  }
  return ~sum >>> 0;
}

export class World {
  static async start() {
    const world = new World();
    world.directory = mkdtempSync(join(tmpdir(), "stint-console-"));
    world.port = await freePort();
    await world.up();
    return world;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  async up() {
    const binary = process.env.STINT_BIN;
    if (!binary || !existsSync(binary)) throw new Error("STINT_BIN is not a program");
    const args = ["up", "--data", this.directory, "--listen", `127.0.0.1:${this.port}`, "--listen-trigger", "127.0.0.1:0"];
    this.said = "";
    this.process = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (data) => (this.said += data));
    const isUp = () => fetch(`${this.origin}/readyz`).then((answer) => answer.ok);
    await until("the server's start", isUp).catch((error) => {
      throw new Error(`${error.message}\n${this.said}`);
    });
    const path = join(this.directory, "credentials.json");
    this.key = JSON.parse(readFileSync(path, "utf8"));
    this.token = `${this.key.accessKeyId}.${this.key.accessKeySecret}`;
  }

  async down(signal = "SIGTERM") {
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill(signal);
    await gone;
  }

  async end() {
    await this.down("SIGKILL").catch(() => undefined);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async ask(method, path, body, token = this.token) {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(`${this.origin}${path}`, { method, headers, ...sent });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  async function(name, code, more = {}) {
    const zipFile = zip({ "index.py": code }).toString("base64");
    await this.ask("POST", "/2023-03-30/functions", { functionName: name, runtime: "python3.10", handler: "index.handler", cpu: 0.25, memorySize: 256, timeout: 300, code: { zipFile }, ...more });
  }

  submit(name, body = {}) {
    return this.ask("POST", `/v1/functions/${name}/tasks`, body);
  }

  ended(uid) {
    return until(`the end of ${uid}`, async () => {
      const task = await this.ask("GET", `/v1/tasks/${uid}`);
      return task.ended && task;
    });
  }

  async makeKey(role, functions = []) {
    return this.ask("POST", "/v1/keys", { role, functions, description: `the ${role} of the tests` });
  }
}

const RESIZE = `import json, logging, time

log = logging.getLogger()

def handler(event, context):
    job = json.loads(event or b"{}")
    log.info("resizing %s to %s", job.get("image"), job.get("width"))
    time.sleep(job.get("seconds", 0.02))
    if job.get("image", "").endswith(".tiff"):
        raise ValueError("cannot read %s: unknown compression 34892" % job["image"])
    log.info("wrote thumb-%s", job.get("image"))
    return {"image": job.get("image"), "width": job.get("width"), "bytes": 48213}
`;

const ECHO = "def handler(event, context):\n    return event\n";

const SLOW = `import json, time

def handler(event, context):
    for part in range(600):
        print("segment %04d recorded" % part, flush=True)
        time.sleep(0.5)
`;

/** Only what a step needs: a moment, and sometimes a failure. */
const CHARGE = `import json, time

def handler(event, context):
    order = json.loads(event or b"{}")
    time.sleep(0.2)
    if order.get("amount", 0) > 900:
        raise RuntimeError("the card was declined")
    return {"charged": order.get("amount", 0)}
`;

export const HOSTILE = '<img src=x onerror="window.__hit=1"><script>window.__hit=1</script>';

const ORDER = {
  Comment: "Charge an order, then pack and tell the customer at once.",
  StartAt: "Check",
  States: {
    Check: { Type: "Choice", Choices: [{ Variable: "$.amount", NumericGreaterThan: 0, Next: "Charge" }], Default: "Refuse" },
    Charge: { Type: "Task", Resource: "arn:aws:lambda:::function:charge", Retry: [{ ErrorEquals: ["States.TaskFailed"], IntervalSeconds: 1, MaxAttempts: 1 }], ResultPath: "$.payment", Next: "Ship" },
    Ship: {
      Type: "Parallel",
      Branches: [
        { StartAt: "Pack", States: { Pack: { Type: "Task", Resource: "arn:aws:lambda:::function:echo", End: true } } },
        { StartAt: "Tell", States: { Tell: { Type: "Task", Resource: "arn:aws:lambda:::function:echo", Next: "Pause" }, Pause: { Type: "Wait", SecondsPath: "$.wait", End: true } } },
      ],
      Next: "Done",
    },
    Done: { Type: "Succeed" },
    Refuse: { Type: "Fail", Error: "NothingToPay", Cause: "an order has an amount" },
  },
};

const ALBUM = {
  StartAt: "Each",
  States: { Each: { Type: "Map", ItemProcessor: { ProcessorConfig: { Mode: "DISTRIBUTED", ExecutionType: "STANDARD" }, StartAt: "Look", States: { Look: { Type: "Pass", End: true } } }, MaxConcurrency: 20, End: true } },
};

/** Fills a world. `rest` is waited for: what is meant to have ended has. */
export async function fill(world) {
  await world.function("resize", RESIZE, { description: "Thumbnails of what is put into the bucket" });
  await world.function("record", SLOW);
  await world.function("charge", CHARGE);
  await world.function("echo", ECHO);
  await world.ask("PUT", "/2023-03-30/functions/resize/async-invoke-config", { asyncTask: true, maxAsyncRetryAttempts: 1 });
  await world.ask("PUT", "/v1/functions/resize/retry-policy", { retries: 1, backoff: "100ms" });
  await world.ask("POST", "/2023-03-30/functions/resize/versions", { description: "first" });
  await world.ask("POST", "/2023-03-30/functions/resize/versions", { description: "faster, sharper" }).catch(() => undefined);
  await world.ask("POST", "/2023-03-30/functions/resize/aliases", { aliasName: "live", versionId: "1" });
  const images = Array.from({ length: 120 }, (_, n) => ({ payload: { image: `holiday-${String(n).padStart(3, "0")}.${n % 15 === 7 ? "tiff" : "jpg"}`, width: 320 }, priority: n % 10, tags: { album: n % 2 ? "lisbon" : "kyoto" } }));
  await world.ask("POST", "/v1/functions/resize/tasks:batch", { tasks: images });
  const failing = await world.submit("resize", { taskId: "scan-0042", payload: { image: "scan-0042.tiff", width: 1024 }, tags: { album: "lisbon" } });
  const hostile = await world.submit("echo", { taskId: "hostile", payloadText: HOSTILE, tags: { note: "<b>bold</b>" } });
  const binary = await world.submit("echo", { taskId: "binary", payloadBase64: Buffer.from(Array.from({ length: 600 }, (_, n) => n % 256)).toString("base64") });
  const huge = await world.submit("echo", { taskId: "huge", payloadText: JSON.stringify({ rows: Array.from({ length: 40_000 }, (_, n) => `row ${n}`) }) });
  const running = await world.submit("record", { taskId: "camera-7", payload: { camera: 7 } });
  const later = await world.submit("resize", { taskId: "tonight", payload: { image: "night.jpg", width: 640 }, delay: "6h" });
  await world.ask("POST", "/v1/flows", { name: "order", definition: JSON.stringify(ORDER, null, 2), description: "From payment to parcel" });
  await world.ask("POST", "/v1/flows", { name: "album", definition: JSON.stringify(ALBUM, null, 2), description: "Looks at every picture" });
  const start = (flow, name, input) => world.ask("POST", `/v1/flows/${flow}/executions`, { name, input });
  await start("order", "order-1001", { amount: 120, wait: 0 });
  await start("order", "order-1002", { amount: 990, wait: 0 });
  await start("order", "order-1003", { amount: 80, wait: 3_600 });
  await start("album", "kyoto", Array.from({ length: 240 }, (_, n) => n));
  const status = (flow, name) => world.ask("GET", `/v1/flows/${flow}/executions/${name}`);
  await Promise.all([failing, hostile, binary, huge].map(({ uid }) => world.ended(uid)));
  await until("order-1002 fails", async () => (await status("order", "order-1002")).ended);
  await until("kyoto ends", async () => (await status("album", "kyoto")).ended);
  return { failing, hostile, binary, huge, running, later };
}
