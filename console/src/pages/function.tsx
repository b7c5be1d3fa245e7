// One function: its code, how it is configured, what is published of it, a place to try it, and how its tasks are
// treated.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { call, fc } from "../api/client";
import type { FcFunction } from "../api/fc";
import { t } from "../i18n";
import { client, reread, useCall } from "../state/query";
import { compact, count, figure, size, span } from "../ui/format";
import { Ago, Button, Confirm, Copy, Facts, Head, Loaded, Menu, Problem, Sheet, Skeleton, Tabs } from "../ui/kit";
import { toast } from "../ui/toast";
import { Behaviour } from "./function/behaviour";
import { Configuration } from "./function/configuration";
import { Releases } from "./function/releases";

const Code = lazy(() => import("./function/code").then((part) => ({ default: part.Code })));
const Test = lazy(() => import("./function/test").then((part) => ({ default: part.Test })));

const TABS = ["overview", "code", "configuration", "versions", "test", "tasks"] as const;

export function useFunction(name: string) {
  return useQuery({ queryKey: ["fc", name], queryFn: () => fc<FcFunction>("GET", `/functions/${encodeURIComponent(name)}`) });
}

export function FunctionPage() {
  const { name, tab = "overview" } = useParams({ strict: false }) as { name: string; tab?: string };
  const query = useFunction(name);
  const [gone, setGone] = useState(false);
  const navigate = useNavigate();
  if (query.error && !query.data) return <Problem error={query.error} />;
  if (!query.data) return <Skeleton rows={8} />;
  const it = query.data;
  const at = (id: string) => `/functions/${encodeURIComponent(name)}${id === "overview" ? "" : `/${id}`}`;
  return (
    <>
      <Head title={it.functionName} back={{ to: "/functions", name: t("nav.functions") }} sub={it.description || <span className="mono">{it.runtime}</span>}>
        <Link to="/tasks" search={{ function: name } as never} className="btn no-underline">
          {t("nav.tasks")}
        </Link>
        <Menu label={t("more")} choices={[{ name: t("fn.logs"), icon: "logs", onPick: () => void navigate({ to: "/logs", search: { function: name } as never }) }, { name: t("fn.delete"), icon: "close", bad: true, need: "write", onPick: () => setGone(true) }]} />
      </Head>
      <Tabs on={tab} tabs={TABS.map((id) => ({ id, name: t(`fn.tab.${id}`), to: at(id) }))} />
      <Suspense fallback={<Skeleton rows={8} />}>
        {tab === "overview" && <Overview it={it} />}
        {tab === "code" && <Code it={it} />}
        {tab === "configuration" && <Configuration key={it.lastModifiedTime} it={it} />}
        {tab === "versions" && <Releases name={name} />}
        {tab === "test" && <Test it={it} />}
        {tab === "tasks" && <Behaviour name={name} />}
      </Suspense>
      <Confirm title={t("fn.delete")} text={t("fn.delete.text", { name })} verb={t("delete")} bad open={gone} onClose={() => setGone(false)} act={async () => { await fc("DELETE", `/functions/${encodeURIComponent(name)}`); client.removeQueries({ queryKey: ["fc", name] }); await reread("listFunctions"); void navigate({ to: "/functions" }); }} />
    </>
  );
}

function Overview({ it }: { it: FcFunction }) {
  const name = it.functionName;
  const backlog = useCall("getBacklog", { path: { function: name } }, { every: 2_000 });
  const recent = useCall("listTasks", { query: { function: name, limit: 200, state: "ended" } }, { every: 5_000 });
  const ran = (recent.data?.items ?? []).filter((task) => task.startedAt).map((task) => task.durationMs).sort((a, b) => a - b);
  const failed = (recent.data?.items ?? []).filter((task) => task.state !== "Succeeded").length;
  const quantile = (share: number) => (ran.length > 0 ? span(ran[Math.min(ran.length - 1, Math.floor(ran.length * share))] ?? 0) : "–");
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1.4fr)_minmax(0,1fr)]">
      <div className="grid gap-4">
        <Sheet title={t("backlog")} actions={<Pause name={name} paused={backlog.data?.paused ?? false} />}>
          <Loaded query={backlog}>
            {(data) => (
              <>
                <div className="grid grid-cols-2 sm:grid-cols-4">
                  <Figure name={t("home.waiting")} value={compact(data.waiting + data.delayed)} />
                  <Figure name={t("state.Running")} value={compact(data.running)} />
                  <Figure name={t("instances")} value={`${data.instances}`} />
                  <Figure name={t("home.rate")} value={figure(data.startsPerSecond)} />
                </div>
                {data.sentence && <p className="border-t border-rule px-4 py-3">{data.sentence}</p>}
              </>
            )}
          </Loaded>
        </Sheet>
        <Sheet title={t("fn.recent")}>
          <div className="grid grid-cols-2 sm:grid-cols-4">
            <Figure name={t("fn.recent.count")} value={count(recent.data?.items.length ?? 0)} />
            <Figure name={t("fn.recent.failed")} value={count(failed)} tone={failed > 0 ? "bad" : undefined} />
            <Figure name="p50" value={quantile(0.5)} />
            <Figure name="p95" value={quantile(0.95)} />
          </div>
        </Sheet>
      </div>
      <Sheet title={t("about")}>
        <Facts
          of={[
            ["ARN", <Copy key="a" text={it.functionArn} />],
            [t("runtime"), it.runtime],
            it.customContainerConfig?.image ? [t("fn.image"), <span key="i" className="mono">{it.customContainerConfig.image}</span>] : [t("fn.handler"), <span key="h" className="mono">{it.handler}</span>],
            [t("fn.size"), `${figure(it.cpu, 2)} vCPU · ${count(it.memorySize)} MB`],
            [t("fn.timeout"), span(it.timeout * 1_000)],
            [t("fn.concurrency"), it.instanceConcurrency],
            [t("fn.internet"), it.internetAccess ? t("yes") : t("no")],
            [t("fn.code"), size(it.codeSize)],
            [t("fn.checksum"), <span key="c" className="mono break-all">{it.codeChecksum}</span>],
            [t("state"), `${it.state}${it.stateReason ? `: ${it.stateReason}` : ""}`],
            [t("created"), <Ago key="cr" at={it.createdTime} />],
            [t("changed"), <Ago key="ch" at={it.lastModifiedTime} />],
          ]}
        />
      </Sheet>
    </div>
  );
}

function Figure({ name, value, tone }: { name: string; value: string; tone?: string }) {
  return (
    <div className="figure">
      <b style={tone ? { color: `var(--${tone})` } : undefined}>{value}</b>
      <span>{name}</span>
    </div>
  );
}

export function Pause({ name, paused }: { name: string; paused: boolean }) {
  const [busy, setBusy] = useState(false);
  const swap = async () => {
    setBusy(true);
    try {
      await call(paused ? "resumeBacklog" : "pauseBacklog", { path: { function: name } });
      await reread("getBacklog", "listBacklogs", "overview", "listFunctions");
    } catch (error) {
      toast((error as Error).message, "bad");
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button icon={paused ? "play" : "pause"} need="pauseBacklog" busy={busy} onClick={() => void swap()}>
      {paused ? t("resume") : t("pause")}
    </Button>
  );
}
