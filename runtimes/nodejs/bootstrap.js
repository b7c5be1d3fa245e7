'use strict';
// The loop of the Node.js runtime: frames in, handler, frames out (see ../README.md for the frames).
// Runs on Node.js 12 and newer. Nothing but built-in modules, and of those as few as possible.

const net = require('net');
const path = require('path');
const util = require('util');
const wayOut = require('./proxy.js');

const CONFIGURE = 1, INITIALIZE = 2, INVOKE = 3, PRE_STOP = 4;
const LOADED = 16, NOT_LOADED = 17, HOOK_DONE = 18, HOOK_FAILED = 19, RESULT = 20, ERROR = 21, PROGRESS = 22, WAITING = 23;
const MESSAGE_CHARS_MAX = 64 * 1024;
const FRAMES_MAX = 200;
const HEAD_BYTES_MAX = 60000;
const OWN = __dirname + path.sep;

const channel = new net.Socket({ fd: 3, readable: true, writable: true });
const state = { requestId: '', config: {}, handler: null, cpuSeen: 0, answer: null };
const LEVELS = { debug: 10, verbose: 15, info: 20, warn: 30, error: 40 };
let levelLeast = 0;

function send(kind, head, body) {
  const headBytes = Buffer.from(head, 'utf8');
  const frame = Buffer.allocUnsafe(8 + headBytes.length);
  frame.writeUInt32LE(body ? body.length : 0, 0);
  frame[4] = kind;
  frame[5] = 0;
  frame.writeUInt16LE(headBytes.length, 6);
  headBytes.copy(frame, 8);
  if (!body || body.length === 0) {
    channel.write(frame);
  } else if (body.length < 65536) {
    channel.write(Buffer.concat([frame, body]));
  } else {
    channel.write(frame);
    channel.write(body);
  }
}

// ---- reading frames

let pending = [];
let pendingBytes = 0;
let wanted = 8;

function received(chunk) {
  pending.push(chunk);
  pendingBytes += chunk.length;
  while (pendingBytes >= wanted) {
    const data = pending.length === 1 ? pending[0] : Buffer.concat(pending);
    if (data.length < 8) {
      pending = [data];
      return;
    }
    const bodyLength = data.readUInt32LE(0);
    const start = 8 + data.readUInt16LE(6);
    const end = start + bodyLength;
    if (data.length < end) {
      pending = [data];
      wanted = end;
      return;
    }
    const rest = data.subarray(end);
    pending = rest.length ? [rest] : [];
    pendingBytes = rest.length;
    wanted = 8;
    dispatch(data[4], data.toString('utf8', 8, start), data.subarray(start, end));
  }
}

function dispatch(kind, head, body) {
  switch (kind) {
    case CONFIGURE:
      configure(head, body);
      break;
    case INITIALIZE:
      state.requestId = head;
      hook(state.config.initializer, head);
      break;
    case INVOKE:
      invoke(head.split('\0'), body);
      break;
    case PRE_STOP:
      hook(state.config.pre_stop, head);
      break;
    default:
      console.error('frame of unknown kind ' + kind);
      process.exit(70);
  }
}

// ---- the user's module

class HandlerNotFound extends Error {
  constructor(message) {
    super(message);
    this.name = 'HandlerNotFound';
  }
}

function split(spec) {
  const dot = spec.lastIndexOf('.');
  if (dot <= 0 || dot === spec.length - 1) {
    throw new HandlerNotFound(`Bad handler '${spec}': it must look like file.function`);
  }
  return [spec.slice(0, dot), spec.slice(dot + 1)];
}

function resolveFile(name) {
  const fs = require('fs');
  const base = path.resolve(state.config.code_path || '/code', name.replace(/^\/+/, ''));
  for (const end of ['.js', '.mjs', '.cjs', path.sep + 'index.js', '']) {
    try {
      if (fs.statSync(base + end).isFile()) {
        return base + end;
      }
    } catch (e) {
      // try the next ending
    }
  }
  const missing = new Error(`Cannot find module '${base}'`);
  missing.code = 'MODULE_NOT_FOUND';
  throw missing;
}

async function load(file) {
  if (!file.endsWith('.mjs')) {
    try {
      return require(file);
    } catch (error) {
      if (!error || error.code !== 'ERR_REQUIRE_ESM') {
        throw error;
      }
    }
  }
  return import(require('url').pathToFileURL(file).href);
}

async function find(spec) {
  const [name, method] = split(spec);
  const module = await load(resolveFile(name));
  const found = module[method] || (module.default && module.default[method]);
  if (typeof found !== 'function') {
    throw new HandlerNotFound(`Handler '${method}' is missing on module '${name}'`);
  }
  return found;
}

// The environment of the function in place of the one it was started with.
function adopt(env) {
  const parts = env.toString('utf8').split('\0');
  const wanted = new Map();
  for (let i = 0; i + 1 < parts.length; i += 2) {
    wanted.set(parts[i], parts[i + 1]);
  }
  for (const name of Object.keys(process.env)) {
    if (!wanted.has(name)) {
      delete process.env[name];
    }
  }
  for (const [name, value] of wanted) {
    if (process.env[name] !== value) {
      process.env[name] = value;
    }
  }
}

function configure(head, env) {
  if (env.length) {
    adopt(env);
  }
  levelLeast = LEVELS[(process.env.ALIYUN_FC_LOG_LEVEL || '').toLowerCase()] || 0;
  const fields = head.split('\0');
  for (let i = 0; i + 1 < fields.length; i += 2) {
    state.config[fields[i]] = fields[i + 1];
  }
  try {
    process.chdir(state.config.code_path || '/code');
  } catch (e) {
    // a function without code has nowhere to go
  }
  prepareContext();
  find(state.config.handler || '').then(
    (handler) => {
      state.handler = handler;
      wayOut.catchUp();
      send(LOADED, '');
    },
    (error) => send(NOT_LOADED, '', errorBody(error, state.config.handler || '')),
  );
}

// ---- context

let contextBase = {};

function prepareContext() {
  const c = state.config;
  contextBase = {
    credentials: {
      accessKeyId: c.access_key_id || '',
      accessKeySecret: c.access_key_secret || '',
      securityToken: c.security_token || '',
    },
    function: {
      name: c.function_name || '',
      handler: c.handler || '',
      memory: Number(c.memory || 0),
      timeout: Number(c.timeout || 0),
      versionId: c.version_id || '',
    },
    region: c.region || '',
    accountId: c.account_id || '',
    tracing: { spanContext: '', jaegerEndpoint: '', spanBaggages: {} },
    logger,
  };
}

function contextOf(fields) {
  const context = Object.assign({}, contextBase);
  context.requestId = fields[0];
  context.retryCount = Number(fields[2] || 0);
  context.service = {
    name: '',
    logProject: state.config.log_project || '',
    logStore: state.config.log_store || '',
    qualifier: fields[4] || '',
    versionId: state.config.version_id || '',
  };
  context.waitsForEmptyEventLoopBeforeCallback = true;
  context.stint = {
    taskId: fields[1],
    idempotencyKey: fields[3],
    // How far the task is: a fraction from 0 to 1, or thousandths above that.
    progress(value, message) {
      const permille = Math.max(0, Math.min(1000, Math.round(value <= 1 ? value * 1000 : value)));
      report(String(permille), message);
    },
    heartbeat(message) {
      report('-', message);
    },
  };
  return context;
}

function report(permille, message) {
  const text = String(message === undefined ? '' : message).replace(/\0/g, ' ');
  send(PROGRESS, permille + '\0' + text.slice(0, HEAD_BYTES_MAX / 4));
}

// ---- running it

function used() {
  const cpu = process.cpuUsage();
  const total = cpu.user + cpu.system;
  const spent = total - state.cpuSeen;
  state.cpuSeen = total;
  return spent + '\0' + process.resourceUsage().maxRSS;
}

function invoke(fields, event) {
  state.requestId = fields[0];
  let answered = false;
  const answer = (kind, mark, body) => {
    if (answered) {
      return;
    }
    answered = true;
    state.answer = null;
    send(kind, used() + mark, body);
  };
  const unhandled = (error) => answer(ERROR, '\0U', errorBody(error, ''));
  const good = (value) => {
    let body;
    try {
      body = toBytes(value);
    } catch (error) {
      unhandled(error);
      return;
    }
    answer(RESULT, '', body);
  };
  state.answer = unhandled;
  const callback = (error, value) => {
    if (error !== undefined && error !== null) {
      answer(ERROR, '\0H', errorBody(error, '', 'FunctionHandledError'));
    } else {
      good(value);
    }
  };
  try {
    const returned = state.handler(event, contextOf(fields), callback);
    if (returned && typeof returned.then === 'function') {
      returned.then(good, unhandled);
    } else if (state.handler.length < 3 && !answered) {
      good(returned);
    }
  } catch (error) {
    unhandled(error);
  }
}

function hook(spec, requestId) {
  const done = () => send(HOOK_DONE, '');
  const failed = (error) => send(HOOK_FAILED, '', errorBody(error, spec || ''));
  find(spec || '').then(
    (method) =>
      new Promise((resolve, reject) => {
        const callback = (error) => (error !== undefined && error !== null ? reject(error) : resolve());
        const returned = method(contextOf([requestId, '', '0', '', '']), callback);
        if (returned && typeof returned.then === 'function') {
          returned.then(resolve, reject);
        } else if (method.length < 2) {
          resolve();
        }
      }),
  ).then(done, failed);
}

function toBytes(value) {
  if (Buffer.isBuffer(value)) {
    return value;
  }
  if (typeof value === 'string') {
    return Buffer.from(value, 'utf8');
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  const text = JSON.stringify(value);
  return text === undefined ? Buffer.alloc(0) : Buffer.from(text, 'utf8');
}

// ---- failures

function errorBody(error, spec, kindForced) {
  const isError = error instanceof Error || (error && typeof error === 'object' && 'message' in error);
  let kind = kindForced || (isError && error.name) || 'Error';
  let message = isError ? String(error.message) : typeof error === 'string' ? error : util.inspect(error);
  if (spec) {
    const name = spec.slice(0, Math.max(spec.lastIndexOf('.'), 0));
    if (error instanceof SyntaxError) {
      kind = 'UserCodeSyntaxError';
      message = `Syntax error in module '${name}': ${message}`;
    } else if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
      kind = 'ImportModuleError';
      message = `Unable to import module '${name}'`;
    }
  }
  const stack = (isError && typeof error.stack === 'string' ? error.stack : '').split('\n');
  const frames = stack
    .slice(0, FRAMES_MAX)
    .map((line) => line.trim())
    .filter((line) => line && !line.includes(OWN) && !line.includes('node:internal/'));
  const label = kindForced === 'FunctionHandledError' ? 'FunctionHandledError' : 'FunctionUnhandledError';
  logLine('error', [`${label}: ${isError && error.stack ? error.stack : message}`]);
  const body = { errorMessage: message.slice(0, MESSAGE_CHARS_MAX), errorType: kind, stackTrace: frames };
  return Buffer.from(JSON.stringify(body), 'utf8');
}

// ---- logging: `{date} {time} {request id} [level] message`

function logLine(level, args) {
  if (LEVELS[level] < levelLeast) {
    return;
  }
  const stamp = new Date().toISOString();
  const text = util.format(...args);
  const line = `${stamp.slice(0, 10)} ${stamp.slice(11, 23)} ${state.requestId} [${level}] ${text}\n`;
  process.stdout.write(line);
}

const logger = {
  debug: (...args) => logLine('debug', args),
  info: (...args) => logLine('info', args),
  warn: (...args) => logLine('warn', args),
  error: (...args) => logLine('error', args),
  log: (...args) => logLine('verbose', args),
};
console.log = logger.log;
console.info = logger.info;
console.warn = logger.warn;
console.error = logger.error;
console.debug = logger.debug;

// An error nobody caught leaves the process in an unknown state: the running request gets it, then we go.
function crashed(error) {
  if (state.answer) {
    state.answer(error);
  } else {
    errorBody(error, '');
  }
  channel.end(() => process.exit(1));
}
process.on('uncaughtException', crashed);
process.on('unhandledRejection', crashed);
// The channel alone keeps the process alive; without the node there is nothing to do.
channel.on('data', received);
channel.on('end', () => process.exit(0));
channel.on('error', () => process.exit(0));
if (process.argv.includes('--wait', 2)) {
  // Started before anybody needs it: what the first request would have to load is loaded now.
  for (const name of ['fs', 'url', 'buffer', 'events', 'stream']) {
    require(name);
  }
  send(WAITING, '');
}
process.argv.splice(2);
