// The real binary as a process, for the tests with the official Node.js SDK.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const require = createRequire(import.meta.url);
export const { default: Client, ...fc } = require('@alicloud/fc20230330');
export const { $OpenApiUtil } = require('@alicloud/openapi-core');
export const { RuntimeOptions } = require('@darabonba/typescript');

/** Polls until `holds()` gives something true, and gives that. */
export async function until(holds, what, limit = 30_000) {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`after ${limit} ms still not: ${what}`);
    await pause(20);
  }
}

export async function start() {
  const home = mkdtempSync(join(tmpdir(), 'stint-node-'));
  const data = join(home, 'data');
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(STINT|XDG)_/.test(name)));
  const child = spawn(
    process.env.STINT_BIN,
    ['up', '--data', data, '--listen', '127.0.0.1:0', '--listen-trigger', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, HOME: home, XDG_CONFIG_HOME: join(home, 'config') } },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said = (said + chunk).slice(-8000); });
  const address = () => readFileSync(join(data, 'address'), 'utf8').trim().replace('http://', '');
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${said}`);
    if (!existsSync(join(data, 'address'))) return false;
    return fetch(`http://${address()}/readyz`).then((answer) => answer.ok, () => false);
  }, 'the server is ready');
  const key = JSON.parse(readFileSync(join(data, 'credentials.json'), 'utf8'));
  const client = new Client(new $OpenApiUtil.Config({
    accessKeyId: key.accessKeyId, accessKeySecret: key.accessKeySecret, protocol: 'http', endpoint: address(), regionId: 'local',
  }));
  const stop = async () => {
    child.kill('SIGTERM');
    await until(() => child.exitCode !== null || child.signalCode !== null, 'the server has ended', 40_000);
    rmSync(home, { recursive: true, force: true });
    return child.exitCode;
  };
  return { client, stop, address: address(), said: () => said };
}
