// What a user of the official Node.js SDK does, against the real binary.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';

import { zip } from '../../examples/wordcount/zip.mjs';
import { RuntimeOptions, fc, start, until } from './server.mjs';

let server;
let client;
before(async () => { server = await start(); client = server.client; });
after(async () => assert.equal(await server.stop(), 0));

const code = (text, name = 'index.js') => new fc.InputCodeLocation({ zipFile: zip({ [name]: Buffer.from(text) }).toString('base64') });
const ECHO = 'exports.handler = async (event) => event;\n';

async function create(functionName, text = ECHO, more = {}) {
  const { body } = await client.createFunction(new fc.CreateFunctionRequest({
    body: new fc.CreateFunctionInput({
      functionName, runtime: 'nodejs20', handler: 'index.handler', cpu: 0.25, memorySize: 256, timeout: 30, code: code(text), ...more,
    }),
  }));
  return body;
}

const taskMode = (name, more = {}) => client.putAsyncInvokeConfig(name, new fc.PutAsyncInvokeConfigRequest({
  body: new fc.PutAsyncInvokeConfigInput({ asyncTask: true, maxAsyncRetryAttempts: 0, ...more }),
}));

async function invoke(name, payload = '', headers = {}, qualifier = undefined) {
  const body = payload.length ? Readable.from([Buffer.from(payload)]) : undefined;
  const answer = await client.invokeFunctionWithOptions(
    name, new fc.InvokeFunctionRequest({ body, qualifier }), new fc.InvokeFunctionHeaders(headers), new RuntimeOptions({ readTimeout: 30_000 }));
  const chunks = [];
  if (answer.body) for await (const chunk of answer.body) chunks.push(chunk);
  return { status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() };
}

const task = async (name, id) => (await client.getAsyncTask(name, id, new fc.GetAsyncTaskRequest({}))).body;
const ended = (name, id) => until(async () => {
  const found = await task(name, id);
  return ['Succeeded', 'Failed', 'Stopped', 'Expired', 'Invalid'].includes(found.status) && found;
}, `${name}/${id} has ended`);

const refused = async (call, status, codeText) => {
  await assert.rejects(call, (error) => {
    assert.equal(error.code, codeText);
    assert.equal(error.statusCode, status);
    assert.match(error.message, new RegExp(`${codeText}: code: ${status}, `));
    return true;
  });
};

test('a function lives and is gone', async () => {
  const made = await create('life', ECHO, { description: 'd', environmentVariables: { A: '1' } });
  assert.equal(made.state, 'Active');
  const { body } = await client.getFunction('life', new fc.GetFunctionRequest({}));
  assert.equal(body.description, 'd');
  assert.deepEqual(body.environmentVariables, { A: '1' });
  await client.updateFunction('life', new fc.UpdateFunctionRequest({ body: new fc.UpdateFunctionInput({ memorySize: 512 }) }));
  const { body: list } = await client.listFunctions(new fc.ListFunctionsRequest({ prefix: 'life' }));
  assert.deepEqual(list.functions.map((one) => [one.functionName, one.memorySize]), [['life', 512]]);
  await refused(() => create('life'), 409, 'FunctionAlreadyExists');
  await client.deleteFunction('life');
  await refused(() => client.getFunction('life', new fc.GetFunctionRequest({})), 404, 'FunctionNotFound');
});

test('a call, its headers and its log', async () => {
  await create('call', "exports.handler = async (event) => { console.log('heard', event.toString()); return { heard: event.toString() }; };");
  const answer = await invoke('call', 'hello', { xFcLogType: 'Tail' });
  assert.equal(answer.status, 200);
  assert.deepEqual(JSON.parse(answer.text), { heard: 'hello' });
  assert.ok(answer.headers['x-fc-request-id'] && answer.headers['x-fc-instance-id']);
  assert.match(Buffer.from(answer.headers['x-fc-log-result'], 'base64').toString(), /heard hello/);
});

test('a failing call is an answer with an error type', async () => {
  await create('fail', "exports.handler = async () => { throw new RangeError('too far'); };");
  const answer = await invoke('fail', 'x');
  assert.equal(answer.headers['x-fc-error-type'], 'UnhandledInvocationError');
  assert.equal(JSON.parse(answer.text).errorMessage, 'too far');
});

test('versions and aliases', async () => {
  await create('versions', "exports.handler = async () => 'one';");
  await client.publishFunctionVersion('versions', new fc.PublishFunctionVersionRequest({ body: new fc.PublishVersionInput({ description: 'v' }) }));
  await client.createAlias('versions', new fc.CreateAliasRequest({ body: new fc.CreateAliasInput({ aliasName: 'prod', versionId: '1' }) }));
  await client.updateFunction('versions', new fc.UpdateFunctionRequest({ body: new fc.UpdateFunctionInput({ code: code("exports.handler = async () => 'two';") }) }));
  assert.equal((await invoke('versions', '', {}, 'prod')).text, 'one');
  assert.equal((await invoke('versions')).text, 'two');
  await refused(() => invoke('versions', '', {}, '9'), 404, 'VersionNotFound');
});

test('a task: accepted, read at once, ended, found, refused twice', async () => {
  await create('tasks');
  await taskMode('tasks');
  const accepted = await invoke('tasks', '{"n":1}', { xFcInvocationType: 'Async', xFcAsyncTaskId: 'first' });
  assert.equal(accepted.status, 202);
  assert.equal(accepted.headers['x-fc-async-task-id'], 'first');
  assert.equal((await task('tasks', 'first')).taskId, 'first');
  const done = await ended('tasks', 'first');
  assert.equal(done.status, 'Succeeded');
  assert.equal(done.returnPayload, '{"n":1}');
  assert.deepEqual(done.events.map((event) => event.status), ['Enqueued', 'Dequeued', 'Running', 'Succeeded']);
  const { body } = await client.listAsyncTasks('tasks', new fc.ListAsyncTasksRequest({ status: 'Succeeded', includePayload: true }));
  assert.deepEqual(body.tasks.map((one) => [one.taskId, one.taskPayload]), [['first', '{"n":1}']]);
  await refused(() => invoke('tasks', 'x', { xFcInvocationType: 'Async', xFcAsyncTaskId: 'first' }), 409, 'AsyncTaskAlreadyExists');
});

test('a delayed task is stopped; options travel in headers', async () => {
  await create('later');
  await taskMode('later');
  const headers = { 'x-fc-async-delay': '600', 'x-stint-priority': '9', 'x-stint-tags': 'from=node' };
  await invoke('later', 'x', { xFcInvocationType: 'Async', xFcAsyncTaskId: 'slow', commonHeaders: headers });
  assert.equal((await task('later', 'slow')).status, 'Enqueued');
  await client.stopAsyncTask('later', 'slow', new fc.StopAsyncTaskRequest({}));
  assert.equal((await ended('later', 'slow')).status, 'Stopped');
});

test('a body that is too large says so', async () => {
  await create('large');
  const description = 'x'.repeat(8 << 20);
  await refused(() => client.publishFunctionVersion('large', new fc.PublishFunctionVersionRequest({ body: new fc.PublishVersionInput({ description }) })), 400, 'EntityTooLarge');
  await refused(() => invoke('large', 'x'.repeat(33 << 20)), 400, 'EntityTooLarge');
});

test('what is not built says so by name', async () => {
  await refused(() => client.listCustomDomains(new fc.ListCustomDomainsRequest({})), 501, 'NotImplemented');
});
