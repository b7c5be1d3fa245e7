// One flow: its definition beside its picture, both checked by the server while one types; what is published; and
// its executions.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useDeferredValue, useEffect, useState } from "react";
import { call } from "../api/client";
import type { FlowChecked } from "../api/generated";
import { can } from "../api/session";
import { t } from "../i18n";
import { type Dialect, FLOW_TEMPLATES } from "../state/flow-templates";
import { client, reread, useCall } from "../state/query";
import { Editor } from "../ui/editor";
import { Ago, Button, Confirm, Dialog, Empty, Facts, Field, Head, Loaded, Menu, Problem, Sheet, Skeleton, Tabs } from "../ui/kit";
import { toast } from "../ui/toast";
import { Executions } from "./flows";

const Graph = lazy(() => import("../ui/graph"));
const CHECK_MS = 350;

/** What the server says about a text, a moment after the last key. */
function useChecked(definition: string, mode: string): FlowChecked | undefined {
  const [settled, setSettled] = useState(definition);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(definition), CHECK_MS);
    return () => clearTimeout(timer);
  }, [definition]);
  const query = useQuery({ queryKey: ["checkFlow", settled, mode], queryFn: () => call("checkFlow", { body: { definition: settled, mode } }), enabled: settled.trim() !== "", staleTime: 60_000, placeholderData: (before) => before });
  return settled.trim() === "" ? undefined : query.data;
}

function Workbench({ text, setText, mode, className }: { text: string; setText?: ((text: string) => void) | undefined; mode: string; className?: string }) {
  const checked = useChecked(text, mode);
  const graph = useDeferredValue(checked?.graph);
  const [line, setLine] = useState<string>();
  const problems = checked?.problems ?? [];
  return (
    <div className={`grid min-w-0 gap-3 lg:grid-cols-2 ${className ?? ""}`}>
      <Editor value={text} {...(setText ? { onChange: setText } : {})} readOnly={!setText} mode={text.trimStart().startsWith("{") ? "json" : "yaml"} label={t("flow.definition")} findings={problems} className="h-[56vh] min-h-72" />
      <div className="sheet flex h-[56vh] min-h-72 min-w-0 flex-col overflow-hidden">
        <div className="min-h-0 flex-1">
          {graph ? (
            <Suspense fallback={<Skeleton />}>
              <Graph graph={graph} className="h-full" onPick={(step) => setLine(`${graph.steps[step]?.name} · ${t("flow.line", { n: graph.steps[step]?.line ?? 0 })}`)} />
            </Suspense>
          ) : (
            <Empty>{problems.length > 0 ? t("flow.broken") : t("flow.empty")}</Empty>
          )}
        </div>
        <div className="max-h-40 overflow-auto border-t border-rule" aria-live="polite" tabIndex={0} role="region" aria-label={t("flow.problems")} data-testid="problems">
          {problems.length === 0 ? (
            <p className="px-3 py-2 text-soft">{checked ? `${checked.dialect ?? ""} · ${line ?? t("flow.fine")}` : " "}</p>
          ) : (
            problems.map((problem) => (
              <p key={`${problem.line}-${problem.column}-${problem.message}`} className="flex gap-3 border-b border-rule px-3 py-1.5 last:border-0">
                <span className="num text-soft">
                  {problem.line}:{problem.column}
                </span>
                <span className={problem.isError ? "text-bad" : "text-warn"}>
                  {problem.message}
                  {problem.hint && <span className="block text-soft">{problem.hint}</span>}
                </span>
              </p>
            ))
          )}
        </div>
      </div>
    </div>
  );
}

export function FlowNew() {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [mode, setMode] = useState("Standard");
  const [dialect, setDialect] = useState<Dialect>("States Language");
  const [text, setText] = useState<string>(FLOW_TEMPLATES["States Language"]);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const pick = (next: Dialect) => {
    if (text === FLOW_TEMPLATES[dialect] || text.trim() === "") setText(FLOW_TEMPLATES[next]);
    setDialect(next);
  };
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await call("createFlow", { body: { name: name.trim(), definition: text, mode } });
      await reread("listFlows");
      void navigate({ to: `/flows/${encodeURIComponent(name.trim())}` });
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  return (
    <>
      <Head title={t("flow.new")} back={{ to: "/flows", name: t("nav.flows") }}>
        <Button kind="main" need="createFlow" busy={busy} disabled={!name.trim()} onClick={() => void create()}>
          {t("flow.create")}
        </Button>
      </Head>
      <div className="mb-3 grid max-w-3xl grid-cols-2 gap-3 sm:grid-cols-[2fr_1fr_1fr]">
        <div className="col-span-2 sm:col-span-1">
          <Field label={t("name")}>{(id) => <input id={id} className="field mono" value={name} onChange={(event) => setName(event.target.value)} autoFocus />}</Field>
        </div>
        <Field label={t("flow.language")}>{(id) => <select id={id} className="field" value={dialect} onChange={(event) => pick(event.target.value as Dialect)}>{Object.keys(FLOW_TEMPLATES).map((one) => <option key={one}>{one}</option>)}</select>}</Field>
        <Field label={t("flow.mode")}>{(id) => <select id={id} className="field" value={mode} onChange={(event) => setMode(event.target.value)}><option value="Standard">{t("mode.Standard")}</option><option value="Express">{t("mode.Express")}</option></select>}</Field>
      </div>
      <Problem error={error} className="mb-3" />
      <Workbench text={text} setText={setText} mode={mode} />
    </>
  );
}

export function FlowPage() {
  const { name, tab = "executions" } = useParams({ strict: false }) as { name: string; tab?: string };
  const query = useCall("getFlow", { path: { flow: name } });
  const navigate = useNavigate();
  const [gone, setGone] = useState(false);
  const [start, setStart] = useState(false);
  if (query.error && !query.data) return <Problem error={query.error} />;
  if (!query.data) return <Skeleton rows={8} />;
  const flow = query.data;
  const at = (id: string) => `/flows/${encodeURIComponent(name)}${id === "executions" ? "" : `/${id}`}`;
  return (
    <>
      <Head title={flow.name} back={{ to: "/flows", name: t("nav.flows") }} sub={flow.description || `${flow.dialect} · ${flow.mode}`}>
        <Button kind="main" icon="play" need="startExecution" onClick={() => setStart(true)}>
          {t("flow.start")}
        </Button>
        <Menu label={t("more")} choices={[{ name: t("flow.delete"), icon: "close", bad: true, need: "deleteFlow", onPick: () => setGone(true) }]} />
      </Head>
      <Tabs on={tab} tabs={["executions", "definition", "versions"].map((id) => ({ id, name: t(`flow.tab.${id}` as "flow.tab.versions"), to: at(id) }))} />
      {tab === "executions" && <Executions flow={name} />}
      {tab === "definition" && <Definition key={flow.modifiedAt} name={name} mode={flow.mode} definition={flow.definition ?? ""} />}
      {tab === "versions" && <Versions name={name} />}
      {start && <Start name={name} onClose={() => setStart(false)} />}
      <Confirm title={t("flow.delete")} text={t("flow.delete.text", { name })} verb={t("delete")} bad open={gone} onClose={() => setGone(false)} act={async () => { await call("deleteFlow", { path: { flow: name } }); client.removeQueries({ queryKey: ["getFlow"] }); await reread("listFlows"); void navigate({ to: "/flows" }); }} />
    </>
  );
}

function Definition({ name, mode, definition }: { name: string; mode: string; definition: string }) {
  const [text, setText] = useState(definition);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await call("updateFlow", { path: { flow: name }, body: { definition: text } });
      await reread("getFlow", "listFlows");
      toast(t("saved"));
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div className="mb-3 flex justify-end gap-2">
        {text !== definition && <Button onClick={() => setText(definition)}>{t("discard")}</Button>}
        <Button kind="main" need="updateFlow" busy={busy} disabled={text === definition} onClick={() => void save()}>
          {t("save")}
        </Button>
      </div>
      <Problem error={error} className="mb-3" />
      <Workbench text={text} setText={can("updateFlow") ? setText : undefined} mode={mode} />
    </>
  );
}

function Start({ name, onClose }: { name: string; onClose: () => void }) {
  const navigate = useNavigate();
  const [input, setInput] = useState("{}");
  const [as, setAs] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const value: unknown = JSON.parse(input || "{}");
      const made = await call("startExecution", { path: { flow: name }, body: { input: value as never, ...(as.trim() ? { name: as.trim() } : {}) } });
      void navigate({ to: `/flows/${encodeURIComponent(name)}/executions/${encodeURIComponent(made.name)}` });
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("flow.start")} open onClose={onClose} wide={640} foot={<><Button onClick={onClose}>{t("cancel")}</Button><Button kind="main" icon="play" busy={busy} onClick={() => void go()}>{t("flow.start")}</Button></>}>
      <div className="grid gap-3 pt-2">
        <Field label={t("execution.name")} hint={t("execution.name.hint")}>{(id) => <input id={id} className="field mono" value={as} onChange={(event) => setAs(event.target.value)} />}</Field>
        <Editor value={input} onChange={setInput} mode="json" label={t("input")} className="h-48" />
        <Problem error={error} />
      </div>
    </Dialog>
  );
}

function Versions({ name }: { name: string }) {
  const versions = useCall("listFlowVersions", { path: { flow: name } });
  const aliases = useCall("listFlowAliases", { path: { flow: name } });
  const [publish, setPublish] = useState(false);
  const [about, setAbout] = useState("");
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={t("fn.versions")} actions={<Button icon="plus" need="publishFlow" onClick={() => setPublish(true)}>{t("publish")}</Button>}>
        <Loaded query={versions}>
          {(page) =>
            page.items.length === 0 ? (
              <Empty>{t("versions.none")}</Empty>
            ) : (
              <Facts of={page.items.map((version): [string, React.ReactNode] => [version.version, <span key="v" className="flex justify-between gap-3"><span>{version.description || "–"}</span><Ago at={version.createdAt} /></span>])} />
            )
          }
        </Loaded>
      </Sheet>
      <Sheet title={t("aliases")}>
        <Loaded query={aliases}>
          {(page) => (page.items.length === 0 ? <Empty>{t("aliases.none")}</Empty> : <Facts of={page.items.map((alias): [string, React.ReactNode] => [alias.name, alias.routes.map((route) => `${t("version.n", { n: route.version })} · ${route.weight} %`).join("  ")])} />)}
        </Loaded>
      </Sheet>
      <Confirm title={t("publish")} verb={t("publish")} open={publish} onClose={() => setPublish(false)} text={<Field label={t("description")}>{(id) => <input id={id} className="field" value={about} onChange={(event) => setAbout(event.target.value)} />}</Field>} act={async () => { await call("publishFlow", { path: { flow: name }, body: { description: about } }); await reread("listFlowVersions"); }} />
    </div>
  );
}
