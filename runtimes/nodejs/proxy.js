'use strict';
// Lets Node.js find the way out of an instance. Python, curl, Go and most others look at http_proxy by
// themselves; Node.js before 22.21 and 24 does not. Here its own clients are taught to:
// http and https by their global agents, fetch by its dispatcher. A program that makes an agent of
// its own, or opens sockets itself, is left alone, and so is a Node.js that already knows.
//
// It looks at the environment the process was started with: one that waits for its function is used only
// for functions that say nothing else about proxies.

const net = require('net');

const HEAD_BYTES_MAX = 16384;

function parse(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' ? { host: url.hostname, port: Number(url.port || 80) } : null;
  } catch (error) {
    return null;
  }
}

/** Whether NO_PROXY says that this host is reached without a proxy. */
function isNear(host, list) {
  const bare = String(host).replace(/^\[|\]$/g, '').toLowerCase();
  return list.split(',').map((part) => part.trim().toLowerCase()).some((part) =>
    part === '*' || (part !== '' && (bare === part || bare.endsWith(part[0] === '.' ? part : '.' + part))));
}

/** Opens a tunnel; `callback(error, socket)`. */
function tunnel(proxy, host, port, callback) {
  const name = net.isIPv6(host) ? `[${host}]` : host;
  const socket = net.connect(proxy.port, proxy.host);
  let head = Buffer.alloc(0);
  const give = (error) => {
    socket.removeListener('error', give);
    socket.removeListener('end', ended);
    socket.removeListener('readable', read);
    if (error) {
      socket.destroy();
      callback(error);
    } else {
      callback(null, socket);
    }
  };
  // The body of a refusal says why, and ends with the connection.
  const ended = () => {
    const error = new Error(
      head.toString().split('\r\n\r\n').pop().trim() || `the way out to ${name}:${port} was closed`);
    error.code = 'ECONNREFUSED';
    give(error);
  };
  // Not 'data': whoever gets the socket must find it neither flowing nor paused.
  const read = () => {
    for (let piece = socket.read(); piece !== null; piece = socket.read()) {
      head = Buffer.concat([head, piece]);
      const end = head.indexOf('\r\n\r\n');
      if (head.length > HEAD_BYTES_MAX) {
        return give(new Error('the proxy gave no answer that can be read'));
      }
      if (end >= 0 && /^HTTP\/1\.[01] 200/.test(head.toString('latin1', 0, 12))) {
        const rest = head.subarray(end + 4);
        give(null);
        if (rest.length > 0) {
          socket.unshift(rest);
        }
        return;
      }
    }
  };
  socket.on('error', give);
  socket.on('end', ended);
  socket.on('readable', read);
  socket.on('connect', () => socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`));
}

/** Like net.connect or tls.connect, for anything that takes `{host, port, servername}`. */
function connector(proxy, list, secure) {
  return (options, callback) => {
    const host = options.hostname || options.host || 'localhost';
    const port = Number(options.port) || (secure ? 443 : 80);
    const wrap = (socket) => {
      if (!secure) {
        return socket;
      }
      const tls = require('tls');
      const servername = options.servername || (net.isIP(host) ? undefined : host);
      return tls.connect({ ...options, host, port, path: undefined, socket, servername });
    };
    if (isNear(host, list)) {
      return callback(null, wrap(net.connect(port, host)));
    }
    tunnel(proxy, host, port, (error, socket) => (error ? callback(error) : callback(null, wrap(socket))));
  };
}

/** Gives a module a global agent that knows the way, once. */
function teachAgent(module, proxy, list, secure) {
  const through = connector(proxy, list, secure);
  const agent = new module.Agent({ ...module.globalAgent.options });
  const own = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    if (options.socketPath || isNear(options.hostname || options.host || 'localhost', list)) {
      return own(options, callback);
    }
    through(options, callback);
    return undefined;
  };
  module.globalAgent = agent;
}

const UNTAUGHT = new Map([['http', false], ['https', true]]);

/** Teaches http and https when they are first asked for: loading them takes milliseconds. */
function teachAgents(proxy, list) {
  const Module = require('module');
  const load = Module._load;
  Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    const name = typeof request === 'string' ? request.replace(/^node:/, '') : '';
    if (UNTAUGHT.has(name)) {
      const secure = UNTAUGHT.get(name);
      UNTAUGHT.delete(name);
      teachAgent(loaded, proxy, list, secure);
    }
    return loaded;
  };
}

/** For those that came in another way: modules imported by modules. */
function catchUp() {
  for (const name of [...UNTAUGHT.keys()]) {
    if (process.moduleLoadList.includes('NativeModule ' + name)) {
      require(name);
    }
  }
}

function teachFetch(proxy, list) {
  const fetch = globalThis.fetch;
  if (typeof fetch !== 'function') {
    return;
  }
  const KEY = Symbol.for('undici.globalDispatcher.1');
  let taught = false;
  const teach = () => {
    taught = true;
    if (globalThis[KEY] === undefined) {
      // Its library is loaded by the first use.
      fetch('data:,').catch(() => {});
    }
    const present = globalThis[KEY];
    // A dispatcher of the user's own stays.
    if (present && present.constructor && present.constructor.name === 'Agent') {
      const plain = connector(proxy, list, false);
      const secure = connector(proxy, list, true);
      const connect = (options, callback) => {
        const isSecure = options.protocol === 'https:';
        (isSecure ? secure : plain)(options, (error, socket) => {
          if (error) {
            return callback(error, null);
          }
          const fail = (reason) => callback(reason, null);
          socket.once('error', fail);
          const done = () => {
            socket.removeListener('error', fail);
            callback(null, socket);
          };
          if (isSecure) {
            socket.once('secureConnect', done);
          } else if (socket.connecting) {
            socket.once('connect', done);
          } else {
            done();
          }
        });
      };
      globalThis[KEY] = new present.constructor({ connect });
    }
  };
  globalThis.fetch = function (input, init) {
    if (!taught) {
      teach();
    }
    return fetch(input, init);
  };
}

function knowsByItself() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return process.env.NODE_USE_ENV_PROXY === '1' && (major >= 24 || (major === 22 && minor >= 21));
}

const proxy = parse(process.env.https_proxy || process.env.http_proxy || '');
if (proxy !== null && !knowsByItself()) {
  const list = process.env.no_proxy || '';
  teachAgents(proxy, list);
  teachFetch(proxy, list);
} else {
  UNTAUGHT.clear();
}

exports.catchUp = catchUp;
