// Where the steps of a flow lie. A step that holds branches or iterations is a box around them, so scopes are laid
// out from the inside out; small ones by dagre, large ones by their depth alone, which is quick for ten thousand.
import dagre from "@dagrejs/dagre";
import type { FlowGraph } from "../api/generated";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Laid {
  /** By step. */
  steps: Box[];
  /** By scope; the first is the flow itself. */
  scopes: Array<Box | undefined>;
}

export const STEP = { width: 190, height: 50 };
const GAP = { x: 28, y: 40 };
const INNER = 16;
const HEAD = STEP.height + 24;
/** Above this dagre takes longer than anybody waits. */
const DAGRE_MAX = 400;

interface Part {
  width: number;
  height: number;
  places: Map<number, Box>;
}

export function layout(graph: FlowGraph): Laid {
  const held = new Map<number, number[]>();
  graph.scopes.forEach((scope, index) => {
    if (scope.owner != null) held.set(scope.owner, [...(held.get(scope.owner) ?? []), index]);
  });
  const parts: Array<Part | undefined> = graph.scopes.map(() => undefined);
  const inside = (step: number) => (held.get(step) ?? []).map((scope) => partOf(scope));
  const sizeOf = (step: number) => {
    const inner = inside(step);
    if (inner.length === 0) return STEP;
    const width = inner.reduce((sum, part) => sum + part.width + INNER, INNER);
    const height = HEAD + Math.max(...inner.map((part) => part.height)) + INNER;
    return { width: Math.max(STEP.width, width), height };
  };
  const partOf = (scope: number): Part => {
    parts[scope] ??= arrange(graph, scope, sizeOf);
    return parts[scope] as Part;
  };
  const laid: Laid = { steps: graph.steps.map(() => ({ x: 0, y: 0, ...STEP })), scopes: graph.scopes.map(() => undefined) };
  const place = (scope: number, x: number, y: number) => {
    const part = partOf(scope);
    laid.scopes[scope] = { x, y, width: part.width, height: part.height };
    for (const [step, box] of part.places) {
      const at = { ...box, x: box.x + x, y: box.y + y };
      laid.steps[step] = at;
      let inner = at.x + INNER;
      for (const child of held.get(step) ?? []) {
        place(child, inner, at.y + HEAD);
        inner += partOf(child).width + INNER;
      }
    }
  };
  if (graph.scopes.length > 0) place(0, 0, 0);
  return laid;
}

type Size = { width: number; height: number };

function arrange(graph: FlowGraph, scope: number, sizeOf: (step: number) => Size): Part {
  const steps = graph.scopes[scope]?.steps ?? [];
  const sizes = new Map(steps.map((step) => [step, sizeOf(step)]));
  const edges = graph.edges.filter((edge) => edge.to != null && sizes.has(edge.from) && sizes.has(edge.to)) as Array<{ from: number; to: number }>;
  return steps.length > DAGRE_MAX ? byDepth(steps, sizes, edges, graph.scopes[scope]?.start ?? steps[0] ?? 0) : byDagre(steps, sizes, edges);
}

function byDagre(steps: number[], sizes: Map<number, Size>, edges: Array<{ from: number; to: number }>): Part {
  const drawing = new dagre.graphlib.Graph();
  drawing.setGraph({ rankdir: "TB", nodesep: GAP.x, ranksep: GAP.y, marginx: 0, marginy: 0 });
  drawing.setDefaultEdgeLabel(() => ({}));
  for (const step of steps) drawing.setNode(String(step), { ...(sizes.get(step) as Size) });
  for (const { from, to } of edges) drawing.setEdge(String(from), String(to));
  dagre.layout(drawing);
  const places = new Map<number, Box>();
  for (const step of steps) {
    const node = drawing.node(String(step)) as unknown as Box;
    places.set(step, { x: node.x - node.width / 2, y: node.y - node.height / 2, width: node.width, height: node.height });
  }
  return framed(places);
}

function byDepth(steps: number[], sizes: Map<number, Size>, edges: Array<{ from: number; to: number }>, start: number): Part {
  const next = new Map<number, number[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const depth = new Map<number, number>([[start, 0]]);
  const queue = [start];
  for (let at = 0; at < queue.length; at += 1) {
    const step = queue[at] as number;
    for (const to of next.get(step) ?? []) {
      if (depth.has(to)) continue;
      depth.set(to, (depth.get(step) ?? 0) + 1);
      queue.push(to);
    }
  }
  const rows = new Map<number, number[]>();
  for (const step of steps) {
    const row = depth.get(step) ?? 0;
    rows.set(row, [...(rows.get(row) ?? []), step]);
  }
  const places = new Map<number, Box>();
  let y = 0;
  for (const row of [...rows.keys()].sort((a, b) => a - b)) {
    let x = 0;
    let height = 0;
    for (const step of rows.get(row) ?? []) {
      const size = sizes.get(step) as Size;
      places.set(step, { x, y, ...size });
      x += size.width + GAP.x;
      height = Math.max(height, size.height);
    }
    y += height + GAP.y;
  }
  return framed(places);
}

function framed(places: Map<number, Box>): Part {
  const boxes = [...places.values()];
  const width = Math.max(STEP.width, ...boxes.map((box) => box.x + box.width));
  const height = Math.max(0, ...boxes.map((box) => box.y + box.height));
  return { width, height, places };
}
