// Requests to this server: typed by the operation table of /v1, and by hand where Function Compute's own API
// is used. A network that fails is told to `connection`, a refusal is an `ApiError` with the server's words.
import { lost, met } from "./connection";
import type { OperationId, Operations, QueryValue } from "./generated";
import { OPERATIONS } from "./generated";
import { session, setSession } from "./session";

/** What the server said no to, in its words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string,
  ) {
    super(message);
  }
}

/** Nobody answered. */
export class Unreachable extends Error {
  constructor() {
    super("the server cannot be reached");
  }
}

type Query = Record<string, QueryValue>;

export function withQuery(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === "") continue;
    if (Array.isArray(value)) for (const one of value as string[]) params.append(name, one);
    else params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

export interface Sent {
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit;
  signal?: AbortSignal;
}

/** One request with the session's token; answers that are not good are thrown. */
export async function send(path: string, sent: Sent = {}): Promise<Response> {
  const token = session()?.token;
  const headers: Record<string, string> = { accept: "application/json", ...sent.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  let answer: Response;
  try {
    answer = await fetch(path, { ...sent, headers, cache: "no-store" });
  } catch (error) {
    if (sent.signal?.aborted) throw error;
    lost();
    throw new Unreachable();
  }
  met();
  if (answer.ok) return answer;
  throw await refused(answer, token);
}

async function refused(answer: Response, token: string | undefined): Promise<ApiError> {
  const text = await answer.text().catch(() => "");
  let said: Record<string, unknown> = {};
  try {
    said = JSON.parse(text) as Record<string, unknown>;
  } catch {
    said = { Message: text.slice(0, 500) };
  }
  const pick = (...names: string[]) => names.map((name) => said[name]).find((one) => typeof one === "string") as string | undefined;
  const code = pick("Code", "__type", "errorType") ?? String(answer.status);
  const message = pick("Message", "message", "errorMessage") ?? answer.statusText;
  const requestId = answer.headers.get("x-fc-request-id") ?? "";
  // A token that is good no more: whoever used it signs in again.
  if (code === "InvalidAccessKeyID" && token && session()?.token === token) setSession(null);
  return new ApiError(answer.status, code, message, requestId);
}

type Args<Id extends OperationId> = {
  path?: Operations[Id]["path"];
  query?: Operations[Id]["query"];
  body?: Operations[Id]["body"];
  signal?: AbortSignal;
};

/** The address of an operation of /v1. */
export function address<Id extends OperationId>(id: Id, args: Args<Id> = {}): string {
  const values = (args.path ?? {}) as Record<string, string>;
  const path = OPERATIONS[id].path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
  return withQuery(path, args.query as Query);
}

/** An operation of /v1. */
export async function call<Id extends OperationId>(id: Id, args: Args<Id> = {}): Promise<Operations[Id]["answer"]> {
  const sent: Sent = { method: OPERATIONS[id].method };
  if (args.signal) sent.signal = args.signal;
  if (args.body !== undefined) {
    sent.body = JSON.stringify(args.body);
    sent.headers = { "content-type": "application/json" };
  }
  const answer = await send(address(id, args), sent);
  if (answer.status === 204) return undefined as Operations[Id]["answer"];
  return (await answer.json()) as Operations[Id]["answer"];
}

/** An operation of Function Compute, below /2023-03-30. */
export async function fc<T>(method: string, path: string, body?: unknown, query?: Query): Promise<T> {
  const sent: Sent = { method };
  if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers = { "content-type": "application/json" };
  }
  const answer = await send(withQuery(`/2023-03-30${path}`, query), sent);
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** An operation of Step Functions, for what only that API has. */
export async function sfn<T>(operation: string, body: unknown): Promise<T> {
  const headers = { "content-type": "application/x-amz-json-1.0", "x-amz-target": `AWSStepFunctions.${operation}` };
  return (await (await send("/", { method: "POST", body: JSON.stringify(body), headers })).json()) as T;
}

/** The bytes behind an operation, at most so many. */
export async function bytes(path: string, max: number): Promise<{ data: Uint8Array; isWhole: boolean }> {
  const answer = await send(path, { headers: { accept: "*/*" } });
  const reader = answer.body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  let isWhole = true;
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > max) {
      isWhole = false;
      await reader.cancel();
      break;
    }
  }
  const data = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { data: data.subarray(0, max), isWhole };
}
