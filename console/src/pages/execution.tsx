// One execution: its flow with the state of each step, drawn anew with every event; what went into a step and came
// out; the items of its distributed maps; everything that happened; and another try.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { address, call, sfn } from "../api/client";
import type { Execution, FlowGraph } from "../api/generated";
import type { ExecutionEvent } from "../api/items";
import { session } from "../api/session";
import { follow } from "../api/stream";
import { t, word } from "../i18n";
import { client, reread, useCall } from "../state/query";
import { compact, instant, moment, span } from "../ui/format";
import { Ago, Button, Confirm, Copy, Facts, Head, Loaded, Menu, Problem, Sheet, Skeleton, State } from "../ui/kit";
import { toast } from "../ui/toast";
import { Content, save } from "../ui/viewer";

const Graph = lazy(() => import("../ui/graph"));

/** Older events are let go; the history has them. */
const EVENTS_MAX = 10_000;

/** The history, and what is added to it while the execution runs. */
function useEvents(flow: string, execution: string, generation: number): { events: ExecutionEvent[]; error: unknown } {
  const [events, setEvents] = useState<ExecutionEvent[]>([]);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    setEvents([]);
    setError(undefined);
    const stop = new AbortController();
    let waiting: ExecutionEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      const more = waiting;
      waiting = [];
      setEvents((before) => [...before, ...more].slice(-EVENTS_MAX));
      void client.invalidateQueries({ queryKey: ["executionGraph"] });
    };
    follow({
      path: address("executionEvents", { path: { flow, execution } }),
      signal: stop.signal,
      onEvent: (event) => {
        if (event.name === "event") {
          waiting.push(JSON.parse(event.data) as ExecutionEvent);
          timer ??= setTimeout(show, 120);
        } else if (event.name === "end") void reread("getExecution", "executionGraph");
      },
    }).catch(setError);
    return () => {
      stop.abort();
      if (timer) clearTimeout(timer);
    };
  }, [flow, execution, generation]);
  return { events, error };
}

export function ExecutionPage() {
  const { name: flow, execution } = useParams({ strict: false }) as { name: string; execution: string };
  const path = { flow, execution };
  const [ended, setEnded] = useState(false);
  const query = useCall("getExecution", { path }, { every: ended ? false : 2_000 });
  const graph = useCall("executionGraph", { path }, { every: ended ? false : 3_000 });
  const run = query.data;
  const { events, error } = useEvents(flow, execution, run?.redrives ?? 0);
  const [picked, setPicked] = useState<number>();
  if (run && run.ended !== ended) setEnded(run.ended);
  if (query.error && !run) return <Problem error={query.error} />;
  if (!run) return <Skeleton rows={8} />;
  return (
    <>
      <Top run={run} />
      {run.error && (
        <div className="note note-bad mb-4" data-testid="error">
          <b className="mono">{run.error}</b>
          {run.cause && <p className="mt-1 break-words whitespace-pre-wrap">{run.cause}</p>}
        </div>
      )}
      <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1.55fr)_minmax(0,1fr)]">
        <div className="grid min-w-0 gap-4">
          <Sheet title={t("graph")} actions={<States graph={graph.data} />}>
            <Loaded query={graph} rows={8}>
              {(data) => (
                <Suspense fallback={<Skeleton rows={8} />}>
                  <Graph graph={data} picked={picked} onPick={setPicked} className="h-[52vh] min-h-80" />
                </Suspense>
              )}
            </Loaded>
          </Sheet>
          {graph.data?.steps.some((step) => step.isDistributed) && <MapRuns flow={flow} execution={execution} ended={ended} />}
          <History events={events} error={error} onPick={(step) => setPicked(graph.data?.steps.findIndex((one) => one.name === step))} />
        </div>
        <div className="grid min-w-0 gap-4">
          {!run.ended && <Why flow={flow} execution={execution} />}
          {picked !== undefined && graph.data?.steps[picked] ? <Step graph={graph.data} at={picked} events={events} onClose={() => setPicked(undefined)} /> : <p className="note text-soft">{t("step.pick")}</p>}
          <Sheet title={t("input")}>
            <Json value={run.input} />
          </Sheet>
          <Sheet title={t("output")}>{run.output === undefined || run.output === null ? <p className="p-4 text-soft">{t("viewer.empty")}</p> : <Json value={run.output} />}</Sheet>
          <About run={run} />
        </div>
      </div>
    </>
  );
}

function Top({ run }: { run: Execution }) {
  const path = { flow: run.flow, execution: run.name };
  const [stops, setStops] = useState(false);
  const redrive = async () => {
    try {
      await call("redriveExecution", { path });
      await reread("getExecution", "executionGraph", "listExecutions");
      toast(t("execution.redriven"));
    } catch (error) {
      toast((error as Error).message, "bad");
    }
  };
  return (
    <>
      <Head title={<span className="mono font-semibold break-all">{run.name}</span>} back={{ to: `/flows/${encodeURIComponent(run.flow)}`, name: run.flow }} sub={<State name={run.status} />}>
        {!run.ended && (
          <Button icon="stop" need="stopExecution" onClick={() => setStops(true)}>
            {t("stop")}
          </Button>
        )}
        {run.ended && run.status !== "Succeeded" && (
          <Button kind="main" icon="again" need="redriveExecution" onClick={() => void redrive()}>
            {t("execution.redrive")}
          </Button>
        )}
        <Menu label={t("more")} choices={[{ name: t("execution.export"), icon: "download", onPick: () => save(new Blob([JSON.stringify(run, null, 2)]), `${run.flow}-${run.name}.json`) }]} />
      </Head>
      <Confirm title={t("execution.stop")} text={t("execution.stop.text")} verb={t("stop")} bad open={stops} onClose={() => setStops(false)} act={async () => { await call("stopExecution", { path, body: {} }); await reread("getExecution", "executionGraph"); }} />
    </>
  );
}

function States({ graph }: { graph: FlowGraph | undefined }) {
  const counts = new Map<string, number>();
  for (const step of graph?.steps ?? []) if (step.live) counts.set(step.live.state, (counts.get(step.live.state) ?? 0) + 1);
  return (
    <span className="flex gap-3 text-soft">
      {[...counts].map(([state, n]) => (
        <span key={state} className="num">
          {word("step", state)} {n}
        </span>
      ))}
    </span>
  );
}

function Why({ flow, execution }: { flow: string; execution: string }) {
  const query = useCall("whyExecution", { path: { flow, execution } }, { every: 2_000 });
  return (
    <Sheet title={t("why")}>
      <Loaded query={query} rows={2}>
        {(why) => (
          <div className="p-4" data-testid="why">
            <p>{why.sentence}</p>
            <ul className="mt-2 grid gap-1.5">
              {why.steps.map((step) => (
                <li key={`${step.step}-${step.entered}`} className="text-soft">
                  <b className="text-ink">{step.step}</b> {step.sentence} {step.task && <Link to={`/tasks/${step.task}`} className="link">{t("task")}</Link>}
                </li>
              ))}
            </ul>
          </div>
        )}
      </Loaded>
    </Sheet>
  );
}

const encoder = new TextEncoder();

function Json({ value }: { value: unknown }) {
  const data = useMemo(() => encoder.encode(JSON.stringify(value ?? null)), [value]);
  return <Content value={data} isWhole total={data.length} max="max-h-64" />;
}

/** What a step was given and gave, out of its events. */
export function story(events: ExecutionEvent[], step: string): { input?: unknown; output?: unknown; error?: string; cause?: string; ms?: number; all: ExecutionEvent[] } {
  const all = events.filter((event) => event.step === step);
  const told: ReturnType<typeof story> = { all };
  for (const event of all) {
    const detail = (event.detail ?? {}) as Record<string, unknown>;
    for (const [name, value] of Object.entries(detail)) {
      const plain = name.toLowerCase();
      if (plain === "input" && told.input === undefined) told.input = parsed(value);
      else if (plain === "output") told.output = parsed(value);
      else if (plain === "error" || plain === "errorcode") told.error = String(value);
      else if (plain === "cause" || plain === "errormessage") told.cause = String(value);
    }
  }
  const [first, last] = [all[0], all.at(-1)];
  if (first && last && first !== last) told.ms = Date.parse(last.at) - Date.parse(first.at);
  return told;
}

/** Upstream writes values as texts. */
function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function Step({ graph, at, events, onClose }: { graph: FlowGraph; at: number; events: ExecutionEvent[]; onClose: () => void }) {
  const step = graph.steps[at];
  const told = useMemo(() => story(events, step?.name ?? ""), [events, step?.name]);
  const called = useMemo(() => taskOf(told.all), [told.all]);
  if (!step) return null;
  return (
    <Sheet title={step.name} actions={<Button kind="quiet" icon="close" aria-label={t("close")} onClick={onClose} />}>
      <div data-testid="step">
        <Facts
          of={[
            [t("step.kind"), step.kind],
            step.calls ? [t("step.calls"), <span key="c" className="mono break-all">{step.calls}</span>] : null,
            [t("state"), step.live ? word("step", step.live.state) : t("step.untouched")],
            step.live ? [t("step.visits"), step.live.visits] : null,
            told.ms !== undefined ? [t("duration"), span(told.ms)] : null,
            called ? [t("task"), <Link key="t" to={`/tasks/${called}`} className="link mono">{called}</Link>] : null,
            [t("flow.linename"), step.line],
          ]}
        />
        {told.error && (
          <p className="note note-bad mx-4 mb-3 break-words">
            <b className="mono">{told.error}</b> {told.cause}
          </p>
        )}
        {told.input !== undefined && (
          <>
            <h3 className="px-4">{t("input")}</h3>
            <Json value={told.input} />
          </>
        )}
        {told.output !== undefined && (
          <>
            <h3 className="px-4">{t("output")}</h3>
            <Json value={told.output} />
          </>
        )}
        <ol className="max-h-56 overflow-auto border-t border-rule py-2" tabIndex={0} aria-label={t("history")}>
          {told.all.map((event) => (
            <li key={event.id} className="flex gap-3 px-4">
              <time className="mono text-soft">{instant(event.at)}</time>
              {event.type}
            </li>
          ))}
        </ol>
      </div>
    </Sheet>
  );
}

/** The task that a step's events name. */
function taskOf(events: ExecutionEvent[]): string | null {
  for (const event of [...events].reverse()) {
    const found = /tsk_[0-9a-z]+/i.exec(JSON.stringify(event.detail ?? ""));
    if (found) return found[0];
  }
  return null;
}

interface MapRun {
  mapRunArn: string;
  status: string;
  itemCounts: { total: number; pending: number; running: number; succeeded: number; failed: number; timedOut: number; aborted: number };
}

/** Items of distributed maps as cells, worst first, so that one failed among thousands is seen. */
function MapRuns({ flow, execution, ended }: { flow: string; execution: string; ended: boolean }) {
  const account = session()?.who.account ?? "";
  const executionArn = `arn:aws:states:local:${account}:execution:${flow}:${execution}`;
  const query = useQuery({
    queryKey: ["mapRuns", executionArn],
    queryFn: async () => {
      const { mapRuns } = await sfn<{ mapRuns: Array<{ mapRunArn: string }> }>("ListMapRuns", { executionArn });
      return Promise.all(mapRuns.map(({ mapRunArn }) => sfn<MapRun>("DescribeMapRun", { mapRunArn })));
    },
    refetchInterval: ended ? false : 1_500,
  });
  return (
    <Sheet title={t("mapruns")}>
      <Loaded query={query}>{(runs) => <>{runs.map((run) => <Grid key={run.mapRunArn} run={run} />)}{runs.length === 0 && <p className="p-4 text-soft">{t("mapruns.none")}</p>}</>}</Loaded>
    </Sheet>
  );
}

const CELLS_MAX = 600;
const KINDS = ["failed", "timedOut", "aborted", "running", "succeeded", "pending"] as const;
const TONES: Record<(typeof KINDS)[number], string> = { failed: "var(--bad)", timedOut: "var(--bad)", aborted: "var(--idle)", running: "var(--busy)", succeeded: "var(--good)", pending: "var(--rule)" };

/** How many cells each kind has: in proportion, and at least one for what there is at all. */
export function cells(counts: MapRun["itemCounts"], max = CELLS_MAX): Array<[(typeof KINDS)[number], number]> {
  const total = Math.max(1, counts.total);
  const scale = Math.min(1, max / total);
  return KINDS.map((kind) => [kind, counts[kind] > 0 ? Math.max(1, Math.round(counts[kind] * scale)) : 0]);
}

function Grid({ run }: { run: MapRun }) {
  const counts = run.itemCounts;
  return (
    <div className="border-b border-rule p-4 last:border-0">
      <div className="mb-2 flex flex-wrap gap-x-4 gap-y-1">
        {KINDS.filter((kind) => counts[kind] > 0).map((kind) => (
          <span key={kind} className="inline-flex items-center gap-1.5">
            <span aria-hidden="true" className="h-2.5 w-2.5 rounded-[3px]" style={{ background: TONES[kind] }} />
            {t(`map.${kind}`)} <b className="num">{compact(counts[kind])}</b>
          </span>
        ))}
        <span className="num ml-auto text-soft">{t("of", { a: compact(counts.succeeded), b: compact(counts.total) })}</span>
      </div>
      <div aria-hidden="true" className="flex flex-wrap gap-[2px]">
        {cells(counts).flatMap(([kind, n]) => Array.from({ length: n }, (_, at) => <span key={`${kind}${at}`} className="h-2.5 w-2.5 rounded-[2px]" style={{ background: TONES[kind] }} />))}
      </div>
    </div>
  );
}

const SHOWN = 300;

function History({ events, error, onPick }: { events: ExecutionEvent[]; error: unknown; onPick: (step: string) => void }) {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const found = events.filter((event) => !wanted || `${event.type} ${event.step}`.toLowerCase().includes(wanted));
  return (
    <Sheet title={t("history")} actions={<input className="field" style={{ width: 170 }} aria-label={t("history.find")} placeholder={t("history.find")} value={text} onChange={(event) => setText(event.target.value)} />}>
      <Problem error={error} className="m-3" />
      <div className="max-h-[420px] overflow-auto" tabIndex={0} role="region" aria-label={t("history")}>
        <table className="table">
          <tbody>
            {found.slice(-SHOWN).map((event) => (
              <tr key={event.id}>
                <td className="num w-px text-soft">{event.id}</td>
                <td className="mono w-px whitespace-nowrap text-soft" title={moment(event.at)}>
                  {instant(event.at)}
                </td>
                <td className="whitespace-nowrap">{event.type}</td>
                <td>
                  {event.step && (
                    <button type="button" className="link" onClick={() => onPick(event.step ?? "")}>
                      {event.step}
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Sheet>
  );
}

function About({ run }: { run: Execution }) {
  return (
    <Sheet title={t("about")}>
      <Facts
        of={[
          ["id", <Copy key="i" text={run.id} />],
          [t("flow.mode"), word("mode", run.mode)],
          run.version ? [t("version"), run.version] : null,
          [t("started"), <Ago key="s" at={run.startedAt} />],
          run.endedAt ? [t("ended"), <Ago key="e" at={run.endedAt} />] : null,
          run.endedAt ? [t("duration"), span(Date.parse(run.endedAt) - Date.parse(run.startedAt))] : null,
          (run.redrives ?? 0) > 0 ? [t("redrives"), run.redrives] : null,
        ]}
      />
    </Sheet>
  );
}
