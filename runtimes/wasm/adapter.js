// Makes a JavaScript handler a component: `stint deploy --wasm` puts the user's modules where it says
// so and gives the whole to componentize-js or componentize-qjs. What the handler sees is what the
// Node.js runtime shows it, as far as the engine has it: there is no file system and no Node library.
import * as imported from 'stint:function/platform@0.1.0';

const platform = imported.default === undefined ? imported : imported.default;
const HANDLER = '@HANDLER@';
// Name of a file to its module: CommonJS, as functions.
const MODULES = {/*MODULES*/};

// ---- what engines may lack

const show = (value) => {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack || ''}`;
  const text = JSON.stringify(value);
  return text === undefined ? String(value) : text;
};
const log = (...values) => platform.log(values.map(show).join(' '));
globalThis.console = { log, info: log, debug: log, warn: log, error: log, trace: log };

function encode(text) {
  if (typeof TextEncoder === 'function') return new TextEncoder().encode(text);
  const bytes = [];
  for (const letter of text) {
    const c = letter.codePointAt(0);
    if (c < 0x80) bytes.push(c);
    else if (c < 0x800) bytes.push(0xc0 | (c >> 6), 0x80 | (c & 63));
    else if (c < 0x10000) bytes.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
    else bytes.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 63), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
  }
  return new Uint8Array(bytes);
}

function decode(bytes) {
  if (typeof TextDecoder === 'function') return new TextDecoder().decode(bytes);
  let text = '';
  for (let i = 0; i < bytes.length;) {
    const b = bytes[i];
    const more = b < 0x80 ? 0 : b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : b >= 0xc0 ? 1 : -1;
    let c = more === 0 ? b : b & (0x3f >> more);
    let whole = more >= 0 && i + more < bytes.length;
    for (let n = 1; whole && n <= more; n += 1) {
      whole = (bytes[i + n] & 0xc0) === 0x80;
      c = (c << 6) | (bytes[i + n] & 0x3f);
    }
    text += whole && c <= 0x10ffff ? String.fromCodePoint(c) : '\ufffd';
    i += whole ? more + 1 : 1;
  }
  return text;
}

/** The event: bytes that read as text, as Node.js's Buffer does. */
class Event extends Uint8Array {
  toString() {
    return decode(this);
  }
}

// ---- modules

const loaded = new Map();

function resolve(from, name) {
  if (!name.startsWith('.') && !name.startsWith('/')) {
    throw new Error(`Cannot find module '${name}': only files of the package can be required here`);
  }
  const parts = name.startsWith('/') ? [] : from.split('/').slice(0, -1);
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  const base = parts.join('/');
  const found = ['', '.js', '.cjs', '.json', '/index.js'].map((end) => base + end).find((file) => file in MODULES);
  if (found === undefined) throw new Error(`Cannot find module '${name}'`);
  return found;
}

function load(file) {
  if (!loaded.has(file)) {
    const module = { exports: {} };
    loaded.set(file, module);
    MODULES[file](module, module.exports, (name) => load(resolve(file, name)));
  }
  return loaded.get(file).exports;
}

const dot = HANDLER.lastIndexOf('.');
const userFunction = load(resolve('', `./${HANDLER.slice(0, dot)}`))[HANDLER.slice(dot + 1)];
if (typeof userFunction !== 'function') throw new Error(`Handler '${HANDLER}' is missing`);

// ---- one invocation

function contextOf(said) {
  const { credentials, function: info } = said;
  const report = (permille, message) => platform.progress(permille, message === undefined ? '' : String(message));
  return {
    requestId: said.requestId,
    credentials: { ...credentials },
    function: {
      name: info.name, handler: HANDLER, memory: info.memoryMb, timeout: info.timeoutSeconds, versionId: info.version,
    },
    service: {
      name: '', logProject: said.logProject, logStore: said.logStore, qualifier: info.qualifier, versionId: info.version,
    },
    region: said.region,
    accountId: said.accountId,
    retryCount: said.retries,
    tracing: { spanContext: '', jaegerEndpoint: '', spanBaggages: {} },
    logger: globalThis.console,
    stint: {
      taskId: said.taskId === undefined || said.taskId === null ? '' : said.taskId,
      idempotencyKey: said.idempotencyKey,
      progress(value, message) {
        report(Math.max(0, Math.min(1000, Math.round(value <= 1 ? value * 1000 : value))), message);
      },
      heartbeat(message) {
        report(null, message);
      },
    },
  };
}

function bytesOf(result) {
  if (result instanceof Uint8Array) return result;
  if (typeof result === 'string') return encode(result);
  return encode(JSON.stringify(result === undefined ? null : result));
}

function failure(error, handled) {
  const known = error instanceof Error;
  return {
    kind: known ? error.name : 'Error',
    message: known ? error.message : show(error),
    trace: known ? String(error.stack || '').split('\n').map((line) => line.trim()).filter(Boolean).slice(0, 200) : [],
    handled,
  };
}

/** What the two tools take for an error. */
function fail(error, handled) {
  const payload = failure(error, handled);
  return Object.assign(payload, { payload });
}

export const handler = {
  handle(event, context) {
    let answered;
    const callback = (error, result) => {
      answered = answered || (error ? { error } : { result });
    };
    let returned;
    try {
      returned = userFunction(new Event(event), contextOf(context), callback);
    } catch (error) {
      throw fail(error, false);
    }
    if (answered !== undefined) {
      if (answered.error) throw fail(answered.error, true);
      return bytesOf(answered.result);
    }
    if (returned !== null && typeof returned === 'object' && typeof returned.then === 'function') {
      return returned.then(bytesOf, (error) => { throw fail(error, false); });
    }
    return bytesOf(returned);
  },
};
