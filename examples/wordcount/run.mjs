// Counts the words of texts: one map task for each shard, then one reduce task.
//
//   node run.mjs [--top N] [FILE…]
//
// Without files it reads this repository's own documents. Ids are derived from the input, so a second
// run is answered 409 for each task and only reads the results.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { zip } from './zip.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '../..');
// The SDK is installed where the black-box tests have it.
const require = createRequire(join(root, 'e2e/package.json'));
const { default: Client, ...fc } = require('@alicloud/fc20230330');
const { $OpenApiUtil } = require('@alicloud/openapi-core');
const { RuntimeOptions } = require('@darabonba/typescript');

const SHARD_BYTES = 16 * 1024;
const UNFINISHED = new Set(['Enqueued', 'Dequeued', 'Running', 'Retrying', 'Stopping']);
const sha = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 24);
};

function connect() {
  const home = process.env.XDG_DATA_HOME || join(homedir(), '.local/share');
  const dir = process.env.STINT_DATA || join(home, 'stint');
  const address = process.env.STINT_ENDPOINT || readFileSync(join(dir, 'address'), 'utf8');
  const env = process.env;
  const key = env.STINT_ACCESS_KEY_ID && env.STINT_ACCESS_KEY_SECRET
    ? { accessKeyId: env.STINT_ACCESS_KEY_ID, accessKeySecret: env.STINT_ACCESS_KEY_SECRET }
    : JSON.parse(readFileSync(join(dir, 'credentials.json'), 'utf8'));
  return new Client(new $OpenApiUtil.Config({
    accessKeyId: key.accessKeyId,
    accessKeySecret: key.accessKeySecret,
    protocol: 'http',
    endpoint: address.trim().replace(/^http:\/\//, ''),
    regionId: 'local',
  }));
}

const isThereAlready = (error) => String(error.code ?? '').endsWith('AlreadyExists');

async function deploy(client, functionName, handler, zipFile) {
  const settings = {
    runtime: 'nodejs20', handler, cpu: 0.5, memorySize: 512, timeout: 60, code: new fc.InputCodeLocation({ zipFile }),
  };
  try {
    await client.createFunction(new fc.CreateFunctionRequest({
      body: new fc.CreateFunctionInput({ functionName, ...settings }),
    }));
  } catch (error) {
    if (!isThereAlready(error)) throw error;
    await client.updateFunction(functionName, new fc.UpdateFunctionRequest({
      body: new fc.UpdateFunctionInput(settings),
    }));
  }
  await client.putAsyncInvokeConfig(functionName, new fc.PutAsyncInvokeConfigRequest({
    body: new fc.PutAsyncInvokeConfigInput({ asyncTask: true, maxAsyncRetryAttempts: 1 }),
  }));
}

async function submit(client, functionName, taskId, event) {
  const { Readable } = await import('node:stream');
  try {
    await client.invokeFunctionWithOptions(
      functionName,
      new fc.InvokeFunctionRequest({ body: Readable.from([Buffer.from(JSON.stringify(event))]) }),
      new fc.InvokeFunctionHeaders({ xFcInvocationType: 'Async', xFcAsyncTaskId: taskId }),
      new RuntimeOptions({}),
    );
    return true;
  } catch (error) {
    if (isThereAlready(error)) return false; // accepted before: as good
    throw error;
  }
}

async function result(client, functionName, taskId) {
  const deadline = Date.now() + 120_000;
  for (let wait = 10; ; wait = Math.min(wait * 1.5, 300)) {
    const { body: task } = await client.getAsyncTask(functionName, taskId, new fc.GetAsyncTaskRequest({}));
    if (task.status === 'Succeeded') return JSON.parse(task.returnPayload);
    if (!UNFINISHED.has(task.status)) throw new Error(`${functionName}/${taskId} ended ${task.status}: ${task.taskErrorMessage}`);
    if (Date.now() > deadline) throw new Error(`${functionName}/${taskId} has not ended`);
    await pause(wait);
  }
}

function* shards(text) {
  let from = 0;
  while (from < text.length) {
    let to = Math.min(from + SHARD_BYTES, text.length);
    while (to < text.length && !/\s/.test(text[to])) to += 1;
    yield text.slice(from, to);
    from = to;
  }
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { top: { type: 'string', default: '10' } } });
const own = () => ['README.md', 'CONTRIBUTING.md', 'LICENSE', 'docs/architecture.md', ...readdirSync(join(root, 'docs/adr')).map((name) => `docs/adr/${name}`)]
  .map((name) => join(root, name)).filter(existsSync);
const files = positionals.length ? positionals : own();
const client = connect();
const code = readFileSync(join(here, 'functions/index.js'));
const zipFile = zip({ 'index.js': code }).toString('base64');
await deploy(client, 'wordcount-map', 'index.map', zipFile);
await deploy(client, 'wordcount-reduce', 'index.reduce', zipFile);

const pieces = files.flatMap((file) => [...shards(readFileSync(file, 'utf8'))]);
const ids = pieces.map((text, shard) => `map-${sha(code, String(shard), text)}`);
const submitted = await Promise.all(
  pieces.map((text, shard) => submit(client, 'wordcount-map', ids[shard], { shard, text })));
const fresh = submitted.reduce((sum, isNew) => sum + Number(isNew), 0);
console.log(`${files.length} files, ${pieces.length} shards, ${fresh} of them new`);
const parts = await Promise.all(ids.map((id) => result(client, 'wordcount-map', id)));

const reduceId = `reduce-${sha(code, values.top, ...ids)}`;
await submit(client, 'wordcount-reduce', reduceId, { parts, top: Number(values.top) });
const { total, different, top } = await result(client, 'wordcount-reduce', reduceId);
console.log(`${total} words, ${different} different`);
for (const [word, n] of top) console.log(`${String(n).padStart(7)}  ${word}`);
console.log(`see it again: stint task get wordcount-reduce/${reduceId}`);
