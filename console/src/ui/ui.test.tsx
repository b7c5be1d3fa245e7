// What is drawn of what others wrote, and of times and shares.
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import type { FlowGraph, Overview, Phases } from "../api/generated";
import { setSession } from "../api/session";
import { ranked } from "../app/palette";
import { bulkFilter, filtersOf } from "../pages/tasks";
import { cells, story } from "../pages/execution";
import { concerns } from "../pages/home";
import { environment } from "../pages/function/configuration";
import { sharesOf } from "../pages/function/releases";
import { pack, textOf, unpack, withText, TEMPLATES } from "../state/code";
import { between } from "../state/rates";
import { parseSearch, stringifySearch } from "../state/search";
import { seconds, size, span } from "./format";
import { layout } from "./graph-layout";
import { Button, State } from "./kit";
import { gathered, plain } from "./logs";
import { scaleOf, shares } from "./phases";
import { Content, hex, shown } from "./viewer";

const bytes = (text: string) => new TextEncoder().encode(text);

test("a hostile payload is text", () => {
  const hostile = '<img src=x onerror="window.__hit=1"><script>window.__hit=1</script>';
  const { container } = render(<Content value={bytes(hostile)} isWhole total={hostile.length} />);
  expect(container.querySelector("img, script")).toBeNull();
  expect(container.querySelector("pre")?.textContent).toBe(hostile);
});

test("payloads are shown as what they are", () => {
  expect(shown(bytes('{"a":1}'), true)).toEqual({ kind: "json", text: '{\n  "a": 1\n}' });
  expect(shown(bytes("plain"), true).kind).toBe("text");
  expect(shown(bytes('{"cut":'), false).kind).toBe("text");
  expect(shown(new Uint8Array([0xff, 0xfe, 0]), true).kind).toBe("bytes");
  expect(shown(bytes("a\u0000b"), true).kind).toBe("bytes");
  expect(shown(new Uint8Array(), true).kind).toBe("empty");
  // A cut through a character is no reason to call text bytes.
  expect(shown(bytes("中文").subarray(0, 5), false).kind).toBe("text");
  expect(hex(bytes("AB\n"))).toBe(`000000  ${"41 42 0a".padEnd(47)}  AB·`);
});

test("a state is a word beside its sign", () => {
  render(<State name="Failed" />);
  expect(screen.getByText("Failed")).toBeTruthy();
});

test("a button that the role may not press is dead and says why", () => {
  const who = { account: "7", role: "viewer", functions: [], keyId: "k" };
  setSession({ token: "t", who, isOwn: true });
  render(<Button need="stopTask">Stop</Button>);
  const button = screen.getByRole("button", { name: "Stop" }) as HTMLButtonElement;
  expect(button.disabled).toBe(true);
  expect(button.title).not.toBe("");
  setSession(null);
});

test("spans, sizes and the server's seconds", () => {
  expect([0, 0.4, 5, 250, 1_500, 61_000, 3_720_000].map(span)).toEqual(["0 ms", "<1 ms", "5 ms", "250 ms", "1.50 s", "1 min 1 s", "1 h 2 min"]);
  expect([12, 1_500, 48_000_000].map(size)).toEqual(["12 B", "1.5 kB", "48 MB"]);
  expect([3, "250ms", "1m30s", "2"].map(seconds)).toEqual([3, 0.25, 90, 2]);
});

test("the phases of all attempts share one scale", () => {
  const phases: Phases = { queuedMs: 0, placedMs: 1, coldStartMs: 40, ranMs: 159, settledMs: 0 };
  const longer = { ...phases, ranMs: 359 };
  expect(scaleOf([{ phases }, { phases: longer }] as never)).toBe(400);
  expect(shares(phases, 400)).toEqual([
    { name: "placed", ms: 1, share: 0.02 },
    { name: "cold", ms: 40, share: 0.1 },
    { name: "ran", ms: 159, share: 0.3975 },
  ]);
});

test("a search is its address, both ways", () => {
  const search = parseSearch("?function=f&state=Failed,Expired&tag=a%3D1&tag=b%3D2&foreign=1");
  expect(stringifySearch(search)).toBe("?function=f&state=Failed%2CExpired&tag=a%3D1&tag=b%3D2&foreign=1");
  expect(bulkFilter(filtersOf(search))).toEqual({ function: "f", state: ["Failed", "Expired"], tags: { a: "1", b: "2" } });
});

test("logs are bounded and steer no terminal", () => {
  const line = (n: number) => ({ text: `${n}` }) as never;
  expect(gathered([line(1), line(2)], [line(3)], 2)).toEqual([line(2), line(3)]);
  expect(plain("\u001b[31mred\u001b[0m")).toBe("red");
});

test("code goes into a zip and out of it as it was, programs with their right to run", () => {
  const files = TEMPLATES.find((one) => one.id === "http")?.files() ?? [];
  const [back] = unpack(pack(files));
  expect(back).toMatchObject({ name: "bootstrap", mode: 0o755 });
  expect(textOf(withText(back as never, "#!"))).toBe("#!");
  expect(pack(files)).toEqual(pack(files));
  expect(textOf({ name: "x", data: new Uint8Array([0xff]), mode: 0 })).toBeNull();
});

test("a server that began anew gives no rate", () => {
  const overview = { now: "2026-01-01T00:00:10Z", startedAt: "a", startedTotal: 10, succeededTotal: 4, failedTotal: 0, waiting: 1, delayed: 1, running: 2 } as unknown as Overview;
  const later = { ...overview, now: "2026-01-01T00:00:12Z", startedTotal: 30, succeededTotal: 24, failedTotal: 2 };
  expect(between(overview, later)).toMatchObject({ started: 10, succeeded: 10, failed: 1, waiting: 2, running: 2 });
  expect(between(overview, { ...later, startedAt: "b" })).toBeNull();
});

test("what needs attention comes worst first", () => {
  const backlog = { function: "f", waiting: 3, delayed: 0, running: 0, paused: true, oldestAt: "2026-01-01T00:00:00Z", byPriority: [] };
  const overview = { now: "2026-01-01T00:05:00Z", backlogs: [backlog, { ...backlog, function: "g", paused: false, sentence: "no node has memory" }], nodes: [{ id: "1", memoryMb: 100, memoryMbUsed: 95 }] } as unknown as Overview;
  expect(concerns(overview, 2).map((one) => one.tone)).toEqual(["bad", "warn", "warn", "warn"]);
  expect(concerns({ ...overview, backlogs: [], nodes: [{ id: "1", memoryMb: 100, memoryMbUsed: 5 }] } as never, 0)).toEqual([]);
});

test("environment, aliases, commands", () => {
  expect(environment("A=1\n# no\nB=x=y\n")).toEqual({ A: "1", B: "x=y" });
  expect(() => environment("=1")).toThrow();
  expect(sharesOf({ versionId: "1", additionalVersionWeight: { "2": 0.1 } })).toEqual([["1", 90], ["2", 10]]);
  expect(ranked([{ name: "Functions" }, { name: "Flows" }, { name: "resize" }], "fl").map((one) => one.name)[0]).toBe("Flows");
});

test("a step's story is told by its events", () => {
  const event = (id: number, type: string, detail: unknown) => ({ id, previous: 0, at: `2026-01-01T00:00:0${id}Z`, type, step: "Charge", detail });
  const told = story([event(1, "TaskStateEntered", { input: '{"a":1}' }), event(2, "TaskFailed", { error: "E", cause: "why" }), event(3, "TaskStateExited", { output: "[2]" })] as never, "Charge");
  expect(told).toMatchObject({ input: { a: 1 }, output: [2], error: "E", cause: "why", ms: 2_000 });
});

test("one failed item among a million has a cell", () => {
  const counts = cells({ total: 1_000_000, pending: 0, running: 0, succeeded: 999_999, failed: 1, timedOut: 0, aborted: 0 });
  expect(Object.fromEntries(counts)).toMatchObject({ failed: 1, pending: 0 });
});

function chain(steps: number): FlowGraph {
  return {
    dialect: "FDL",
    scopes: [{ kind: "machine", start: 0, steps: Array.from({ length: steps }, (_, n) => n) }],
    steps: Array.from({ length: steps }, (_, n) => ({ name: `s${n}`, kind: "Pass", scope: 0, line: n, isDistributed: false, retries: 0 })),
    edges: Array.from({ length: steps - 1 }, (_, n) => ({ from: n, to: n + 1, kind: "next" })),
  } as FlowGraph;
}

test("boxes lie around what they hold, and ten thousand steps are laid out", () => {
  const graph = chain(3);
  graph.scopes = [{ kind: "machine", start: 0, steps: [0, 1] }, { kind: "branch", owner: 1, start: 2, steps: [2] }];
  graph.edges = [{ from: 0, to: 1, kind: "next" }];
  const { steps } = layout(graph);
  const [, outer, inner] = steps as Array<{ x: number; y: number; width: number; height: number }>;
  expect(inner!.x).toBeGreaterThan(outer!.x);
  expect(inner!.y + inner!.height).toBeLessThan(outer!.y + outer!.height);
  const many = layout(chain(10_000)).steps;
  expect(many.at(-1)?.y).toBeGreaterThan(many[0]?.y ?? 0);
});
