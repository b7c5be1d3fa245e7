// What is happening now, and what needs somebody.
import { Link } from "@tanstack/react-router";
import { Suspense, lazy, useMemo } from "react";
import type { Backlog, Node, Overview, Task } from "../api/generated";
import { t } from "../i18n";
import { useCall } from "../state/query";
import { type Sample, useRates } from "../state/rates";
import { compact, figure, span } from "../ui/format";
import { Icon } from "../ui/icons";
import { Ago, Empty, Head, Loaded, Meter, Sheet, State } from "../ui/kit";

const Chart = lazy(() => import("../ui/chart"));

/** A backlog that is older than this is worth a look. */
const OLD_MS = 60_000;
const RECENT_MS = 15 * 60_000;

export function Home() {
  const overview = useCall("overview", {}, { every: 2_000 });
  // Rounded, so that the question is the same for a while.
  const since = useMemo(() => new Date(Math.floor(Date.now() / 60_000) * 60_000 - RECENT_MS).toISOString(), []);
  const failing = useCall("listTasks", { query: { state: "Failed,Expired,Invalid", from: since, limit: 6 } }, { every: 4_000 });
  const failed = useCall("countTasks", { query: { state: "Failed,Expired,Invalid", from: since } }, { every: 8_000 });
  const samples = useRates(overview.data);
  return (
    <>
      <Head title={t("nav.home")} sub={overview.data ? <>Stint {overview.data.version} · {t("home.up", { span: span(Date.parse(overview.data.now) - Date.parse(overview.data.startedAt)) })}</> : " "} />
      <Figures overview={overview.data} samples={samples} failed={failed.data?.count} />
      <div className="mt-4 grid items-start gap-4 lg:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
        <div className="grid gap-4">
          <Throughput samples={samples} />
          <Sheet title={t("home.failures")} actions={<Link to="/tasks" search={{ state: "Failed,Expired,Invalid" } as never} className="link">{t("all")}</Link>}>
            <Loaded query={failing}>{(page) => <Failures tasks={page.items} />}</Loaded>
          </Sheet>
        </div>
        <div className="grid gap-4">
          <Sheet title={t("home.attention")}>
            <div className="min-h-24">{overview.data && <Attention overview={overview.data} failed={failed.data?.count ?? 0} />}</div>
          </Sheet>
          <Sheet title={t("home.use")} actions={<Link to="/capacity" className="link">{t("nav.capacity")}</Link>}>
            <Loaded query={overview}>{(data) => <Utilisation nodes={data.nodes} />}</Loaded>
          </Sheet>
          <Sheet title={t("backlogs")} actions={<Link to="/capacity/backlogs" className="link">{t("all")}</Link>}>
            <Loaded query={overview}>{(data) => <Backlogs backlogs={data.backlogs} />}</Loaded>
          </Sheet>
        </div>
      </div>
    </>
  );
}

function Figures({ overview, samples, failed }: { overview: Overview | undefined; samples: Sample[]; failed: number | undefined }) {
  const rate = samples.at(-1)?.started ?? 0;
  const shown = (value: number | undefined) => (value === undefined ? "–" : compact(value));
  const all: Array<[string, string, string, Record<string, string> | undefined, string]> = [
    [t("home.rate"), overview ? figure(rate) : "–", "/tasks", undefined, ""],
    [t("state.Running"), shown(overview?.running), "/tasks", { state: "Running" }, "busy"],
    [t("home.waiting"), shown(overview?.waiting), "/tasks", { state: "open" }, ""],
    [t("home.delayed"), shown(overview?.delayed), "/tasks", { state: "open" }, ""],
    [t("home.failed"), shown(failed), "/tasks", { state: "Failed,Expired,Invalid" }, failed ? "bad" : ""],
    [t("instances"), shown(overview?.instances), "/capacity/instances", undefined, ""],
  ];
  return (
    <div className="sheet grid grid-cols-2 overflow-hidden sm:grid-cols-3 xl:grid-cols-6">
      {all.map(([name, value, to, search, tone]) => (
        <Link key={name} to={to} search={(search ?? {}) as never} className="figure -mt-px -ml-px border-t border-l border-rule no-underline hover:bg-well">
          <b style={tone ? { color: `var(--${tone})` } : undefined}>{value}</b>
          <span>{name}</span>
        </Link>
      ))}
    </div>
  );
}

function Throughput({ samples }: { samples: Sample[] }) {
  const times = useMemo(() => samples.map((one) => one.at), [samples]);
  const series = useMemo(
    () => [
      { name: t("home.succeeded"), colour: "good", values: samples.map((one) => one.succeeded) },
      { name: t("home.failing"), colour: "bad", values: samples.map((one) => one.failed) },
    ],
    [samples],
  );
  return (
    <Sheet
      title={t("home.throughput")}
      actions={series.map((one) => (
        <span key={one.name} className="inline-flex items-center gap-1.5 text-soft">
          <span aria-hidden="true" className="h-0.5 w-3 rounded" style={{ background: `var(--${one.colour})` }} />
          {one.name}
        </span>
      ))}
    >
      <div className="h-[174px] p-3">
        {samples.length > 1 ? (
          <Suspense>
            <Chart times={times} series={series} label={t("home.throughput")} />
          </Suspense>
        ) : (
          <p className="grid h-full place-items-center text-soft">{t("home.gathering")}</p>
        )}
      </div>
    </Sheet>
  );
}

function Failures({ tasks }: { tasks: Task[] }) {
  if (tasks.length === 0) return <Empty>{t("home.nofailures")}</Empty>;
  return (
    <table className="table">
      <tbody>
        {tasks.map((task) => (
          <tr key={task.uid}>
            <td className="w-px">
              <State name={task.state} />
            </td>
            <td className="max-w-0">
              <Link to={`/tasks/${task.uid}`} className="rowlink block truncate">
                {task.function} <span className="mono font-normal text-soft">{task.taskId}</span>
              </Link>
              <span className="block truncate text-soft">{task.error ? `${task.error.kind}: ${task.error.message}` : ""}</span>
            </td>
            <td className="r w-px text-soft">
              <Ago at={task.endedAt ?? task.submittedAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What somebody should look at, worst first. */
export function concerns(overview: Overview, failed: number): Array<{ text: string; to: string; search?: Record<string, string>; tone: "bad" | "warn" }> {
  const now = Date.parse(overview.now);
  const old = (backlog: Backlog) => (backlog.oldestAt ? now - Date.parse(backlog.oldestAt) : 0);
  const stuck = overview.backlogs.filter((one) => !one.paused && one.waiting > 0 && old(one) > OLD_MS);
  const paused = overview.backlogs.filter((one) => one.paused);
  const full = overview.nodes.filter((node) => node.memoryMb > 0 && node.memoryMbUsed / node.memoryMb > 0.9);
  return [
    ...(overview.nodes.length === 0 ? [{ text: t("concern.nonode"), to: "/capacity", tone: "bad" as const }] : []),
    ...(failed > 0 ? [{ text: t("concern.failed", { n: failed }), to: "/tasks", search: { state: "Failed,Expired,Invalid" }, tone: "bad" as const }] : []),
    ...stuck.map((one) => ({ text: t("concern.old", { function: one.function, span: span(old(one)) }) + (one.sentence ? ` ${one.sentence}` : ""), to: "/tasks", search: { function: one.function, state: "open" }, tone: "warn" as const })),
    ...paused.map((one) => ({ text: t("concern.paused", { function: one.function, n: one.waiting }), to: "/capacity/backlogs", tone: "warn" as const })),
    ...full.map((node) => ({ text: t("concern.memory", { node: node.id }), to: "/capacity", tone: "warn" as const })),
  ];
}

function Attention({ overview, failed }: { overview: Overview; failed: number }) {
  const all = concerns(overview, failed);
  if (all.length === 0) {
    return (
      <p className="flex items-center gap-2 p-4 text-soft">
        <Icon name="check" className="text-good" />
        {t("concern.none")}
      </p>
    );
  }
  return (
    <ul>
      {all.map((one) => (
        <li key={one.text} className="border-b border-rule last:border-0">
          <Link to={one.to} search={(one.search ?? {}) as never} className="flex gap-2.5 px-4 py-2.5 no-underline hover:bg-well">
            <span style={{ color: `var(--${one.tone})` }} className="pt-0.5">
              <Icon name="warn" />
            </span>
            <span className="min-w-0 flex-1 break-words">{one.text}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

export function Utilisation({ nodes }: { nodes: Node[] }) {
  return (
    <div className="flex flex-col gap-4 p-4">
      {nodes.map((node) => (
        <div key={node.id} className="flex flex-col gap-2">
          <div className="flex justify-between">
            <span className="font-medium">{t("node", { id: node.id })}</span>
            <span className="num text-soft">{t("node.load", { online: node.runningOnline, batch: node.running - node.runningOnline })}</span>
          </div>
          <div className="grid grid-cols-[64px_1fr_auto] items-center gap-x-3 gap-y-1.5">
            <span className="text-soft">CPU</span>
            <Meter value={node.cpuUsed} of={node.cpu} label="CPU" />
            <span className="num text-right text-soft">{t("of", { a: figure(node.cpuUsed), b: figure(node.cpu) })}</span>
            <span className="text-soft">{t("memory")}</span>
            <Meter value={node.memoryMbUsed} of={node.memoryMb} label={t("memory")} alarm />
            <span className="num text-right text-soft">{t("of", { a: `${figure(node.memoryMbUsed / 1_024)}`, b: `${figure(node.memoryMb / 1_024)} GB` })}</span>
          </div>
        </div>
      ))}
    </div>
  );
}

function Backlogs({ backlogs }: { backlogs: Backlog[] }) {
  const busy = backlogs.filter((one) => one.waiting + one.delayed + one.running > 0).slice(0, 6);
  if (busy.length === 0) return <p className="p-4 text-soft">{t("backlogs.none")}</p>;
  return (
    <table className="table">
      <tbody>
        {busy.map((one) => (
          <tr key={one.function}>
            <td className="max-w-0">
              <Link to="/tasks" search={{ function: one.function, state: "open" } as never} className="rowlink block truncate">
                {one.function}
              </Link>
            </td>
            <td className="r w-px whitespace-nowrap text-soft">{t("backlogs.short", { waiting: compact(one.waiting + one.delayed), running: compact(one.running) })}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
