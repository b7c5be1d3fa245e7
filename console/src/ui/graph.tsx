// A flow as a picture, and how an execution stands in it.
import { Background, Controls, type Edge, Handle, MarkerType, type Node, type NodeProps, Position, ReactFlow, ReactFlowProvider } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { memo, useMemo } from "react";
import type { FlowGraph, GraphStep } from "../api/generated";
import { t, word } from "../i18n";
import { layout } from "./graph-layout";

type StepData = { step: GraphStep; isPicked: boolean };
type StepNode = Node<StepData, "step">;

const SIGNS: Record<string, string> = { Task: "ƒ", Choice: "◇", Wait: "◷", Parallel: "∥", Map: "⋯", Pass: "→", Succeed: "✓", Fail: "✕" };

const StepBox = memo(function StepBox({ data }: NodeProps<StepNode>) {
  const { step, isPicked } = data;
  const visits = step.live?.visits ?? 0;
  return (
    <div className="step" data-state={step.live?.state} data-on={isPicked ? "" : undefined} title={step.calls ?? step.name}>
      <Handle type="target" position={Position.Top} className="!pointer-events-none !opacity-0" />
      <div className="flex items-center gap-1.5">
        <span aria-hidden="true" className="w-3 text-center text-soft">
          {SIGNS[step.kind] ?? "·"}
        </span>
        <span className="min-w-0 flex-1 truncate font-semibold">{step.name}</span>
        {visits > 1 && <span className="num text-soft">×{visits}</span>}
      </div>
      <div className="truncate pl-[18px] text-soft">{step.live ? word("step", step.live.state) : (step.calls?.split(/[/:]/).at(-1) ?? step.kind)}</div>
      <Handle type="source" position={Position.Bottom} className="!pointer-events-none !opacity-0" />
    </div>
  );
});

function ScopeBox() {
  return (
    <div className="scope">
      <Handle type="target" position={Position.Top} className="!opacity-0" />
      <Handle type="source" position={Position.Bottom} className="!opacity-0" />
    </div>
  );
}

const KINDS = { step: StepBox, scope: ScopeBox };

interface Props {
  graph: FlowGraph;
  picked?: number | undefined;
  onPick?: (step: number) => void;
  className?: string;
}

export default function Graph({ graph, picked, onPick, className }: Props) {
  // The shape alone decides where things lie; states change every moment.
  const shape = JSON.stringify([graph.scopes, graph.edges.map((edge) => [edge.from, edge.to]), graph.steps.length]);
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  const laid = useMemo(() => layout(graph), [shape]);
  const holds = useMemo(() => new Set(graph.scopes.flatMap((scope) => (scope.owner != null ? [scope.owner] : []))), [graph.scopes]);
  const nodes: Node[] = useMemo(() => {
    const boxes: Node[] = [];
    for (const step of holds) {
      const at = laid.steps[step];
      if (at) boxes.push({ id: `box-${step}`, type: "scope", position: at, data: {}, width: at.width, height: at.height, selectable: false, draggable: false, focusable: false, zIndex: -1 });
    }
    const steps = graph.steps.flatMap((step, index): Node[] => {
      const at = laid.steps[index];
      if (!at) return [];
      return [{ id: String(index), type: "step", position: holds.has(index) ? { x: at.x + (at.width - 190) / 2, y: at.y + 6 } : at, data: { step, isPicked: picked === index }, width: 190, height: 50, draggable: false, ariaLabel: `${step.name}, ${step.kind}${step.live ? `, ${step.live.state}` : ""}` }];
    });
    return [...boxes, ...steps];
  }, [graph.steps, laid, picked, holds]);
  const edges: Edge[] = useMemo(
    () =>
      graph.edges.flatMap((edge, index): Edge[] => {
        if (edge.to == null) return [];
        const from = graph.steps[edge.from];
        const isWalked = Boolean(from?.live && graph.steps[edge.to]?.live);
        const isCatch = edge.kind === "catch";
        return [
          {
            id: `e${index}`,
            source: holds.has(edge.from) ? `box-${edge.from}` : String(edge.from),
            target: holds.has(edge.to) ? `box-${edge.to}` : String(edge.to),
            label: edge.label ? (edge.label.length > 28 ? `${edge.label.slice(0, 27)}…` : edge.label) : undefined,
            animated: graph.steps[edge.to]?.live?.state === "active",
            focusable: false,
            markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14, color: isWalked ? "var(--ink)" : "var(--rule-strong)" },
            style: { stroke: isWalked ? "var(--ink)" : "var(--rule-strong)", strokeWidth: isWalked ? 1.6 : 1.2, ...(isCatch ? { strokeDasharray: "4 4" } : {}) },
            labelStyle: { fill: "var(--soft)", fontSize: 11 },
            labelBgStyle: { fill: "var(--sheet)" },
          },
        ];
      }),
    [graph.edges, graph.steps, holds],
  );
  return (
    <div className={`overflow-hidden ${className ?? "h-96"}`} role="group" aria-label={t("graph")} data-testid="graph">
      <ReactFlowProvider>
        <ReactFlow
          key={shape}
          nodes={nodes}
          edges={edges}
          nodeTypes={KINDS}
          fitView
          fitViewOptions={{ maxZoom: 1, padding: 0.12 }}
          minZoom={0.02}
          maxZoom={2}
          nodesConnectable={false}
          edgesFocusable={false}
          onlyRenderVisibleElements={graph.steps.length > 300}
          onNodeClick={(_, node) => node.type === "step" && onPick?.(Number(node.id))}
          proOptions={{ hideAttribution: true }}
          preventScrolling={false}
          zoomOnScroll={false}
          panOnScroll={false}
        >
          <Background color="var(--rule)" gap={18} size={1} bgColor="var(--paper)" />
          <Controls showInteractive={false} aria-label={t("graph.controls")} />
        </ReactFlow>
      </ReactFlowProvider>
    </div>
  );
}
