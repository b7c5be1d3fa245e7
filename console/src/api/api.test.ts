// Signing, streams, addresses and rights.
import { afterEach, expect, test, vi } from "vitest";
import { ApiError, Unreachable, address, bytes, call, withQuery } from "./client";
import { may, session, setSession, signInWithKey } from "./session";
import { sign } from "./sign";
import { Parser } from "./stream";

afterEach(() => {
  vi.unstubAllGlobals();
  setSession(null);
});

const who = { account: "1000000000000001", role: "admin", functions: [], keyId: "k" };

test("a signature is what another implementation makes of the same request", () => {
  const headers = sign({ method: "POST", path: "/v1/sign-in", host: "127.0.0.1:7780", body: "{}", keyId: "AK", secret: "SK", now: new Date("2026-11-30T12:00:00.500Z"), nonce: "n" });
  expect(headers["x-acs-date"]).toBe("2026-11-30T12:00:00Z");
  expect(headers["x-acs-content-sha256"]).toBe("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
  expect(headers.authorization).toBe("ACS3-HMAC-SHA256 Credential=AK,SignedHeaders=host;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce,Signature=2b63209e8cfa0e87d396a66e9aea1fe28fd9f4fb633875aa22e6a85db43da4ad");
});

test("events come in any pieces", () => {
  const parser = new Parser();
  expect(parser.feed("id: 1\nevent: li")).toEqual([]);
  expect(parser.feed('ne\ndata: {"a":1}\n\n: ping\n\nevent: end\ndata:\n\n')).toEqual([
    { id: "1", name: "line", data: '{"a":1}' },
    { id: "", name: "end", data: "" },
  ]);
});

test("addresses are made of names that were written by others", () => {
  expect(address("getFunctionTask", { path: { function: "f", task: "a/../b?c" } })).toBe("/v1/functions/f/tasks/a%2F..%2Fb%3Fc");
  expect(withQuery("/v1/tasks", { tag: ["a=1", "b=2"], state: undefined, limit: 5 })).toBe("/v1/tasks?tag=a%3D1&tag=b%3D2&limit=5");
});

test("rights are those of the server's table", () => {
  const of = (role: string, account = "7") => (["invoke", "read", "write", "administer", "operate"] as const).filter((need) => may(need, { role, account }));
  expect(of("invoker")).toEqual(["invoke"]);
  expect(of("viewer")).toEqual(["read"]);
  expect(of("developer")).toEqual(["invoke", "read", "write"]);
  expect(of("admin")).toEqual(["invoke", "read", "write", "administer"]);
  expect(of("admin", who.account)).toContain("operate");
});

function answers(...all: Array<Response | Error>) {
  const asked: Array<{ url: string; init: RequestInit }> = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => {
    asked.push({ url, init });
    const next = all.shift() ?? new Response("{}", { status: 503 });
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  });
  return asked;
}

test("the secret stays: what is sent and what is kept know it not", async () => {
  const asked = answers(Response.json({ token: "TOKEN1.x", id: "TOKEN1" }), Response.json(who));
  await signInWithKey("AK", "a-secret");
  expect(session()?.token).toBe("TOKEN1.x");
  expect(JSON.stringify(asked)).not.toContain("a-secret");
  expect(JSON.stringify({ ...sessionStorage, ...localStorage })).not.toContain("a-secret");
});

test("a refusal is in the server's words; a token that is good no more is forgotten", async () => {
  setSession({ token: "t", who, isOwn: true });
  answers(Response.json({ Code: "AccessDenied", Message: "a viewer may not", RequestId: "r" }, { status: 403, headers: { "x-fc-request-id": "r" } }), Response.json({ Code: "InvalidAccessKeyID", Message: "gone" }, { status: 403 }), new TypeError("refused"));
  const denied = await call("stopTask", { path: { task: "t" } }).catch((error: unknown) => error);
  expect(denied).toMatchObject(new ApiError(403, "AccessDenied", "a viewer may not", "r"));
  expect(session()).not.toBeNull();
  await call("overview").catch(() => undefined);
  expect(session()).toBeNull();
  await expect(call("overview")).rejects.toBeInstanceOf(Unreachable);
});

test("of a large answer only the beginning is read", async () => {
  answers(new Response(new Uint8Array(5_000)));
  expect(await bytes("/x", 1_000)).toMatchObject({ isWhole: false });
});
