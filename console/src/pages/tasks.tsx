// Tasks: found by what the address says, so that a view is a link; drawn a screenful at a time; stopped, re-run
// and exported by selection or by the whole search.
import { useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { address, call, send } from "../api/client";
import type { BulkResult, Task, TaskFilter } from "../api/generated";
import { t } from "../i18n";
import { useCursor, useKeys } from "../state/keys";
import { reread, useCall, usePages, useWhole } from "../state/query";
import { type Search, one, stringifySearch, useAsked } from "../state/search";
import { compact, count, span } from "../ui/format";
import { Icon } from "../ui/icons";
import { Ago, Button, Dialog, Empty, Field, Head, Menu, Problem, Skeleton, State } from "../ui/kit";
import { toast } from "../ui/toast";
import { save } from "../ui/viewer";

const ROW = 37;
const STATES = ["Enqueued", "Dequeued", "Running", "Retrying", "Stopping", "Succeeded", "Failed", "Stopped", "Expired", "Invalid"];
const FILTERS = ["function", "state", "idPrefix", "error", "tag", "from", "until", "durationMin", "durationMax", "qualifier"] as const;
type Filters = Partial<Record<(typeof FILTERS)[number], string | string[]>>;

/** The filter that an address says. */
export function filtersOf(search: Search): Filters {
  return Object.fromEntries(FILTERS.flatMap((name) => (search[name] ? [[name, search[name]]] : [])));
}

/** The same as the bulk operations take it. */
export function bulkFilter(filters: Filters): TaskFilter {
  const text = (name: (typeof FILTERS)[number]) => {
    const value = filters[name];
    return Array.isArray(value) ? value[0] : value;
  };
  const filter: TaskFilter = {};
  if (text("function")) filter.function = text("function")!;
  if (text("qualifier")) filter.qualifier = text("qualifier")!;
  if (text("state")) filter.state = text("state")!.split(",");
  if (text("idPrefix")) filter.idPrefix = text("idPrefix")!;
  if (text("error")) filter.error = text("error")!;
  if (text("from")) filter.from = text("from")!;
  if (text("until")) filter.until = text("until")!;
  if (text("durationMin")) filter.durationMin = text("durationMin")!;
  if (text("durationMax")) filter.durationMax = text("durationMax")!;
  const tags = ([] as string[]).concat(filters.tag ?? []);
  if (tags.length > 0) filter.tags = Object.fromEntries(tags.map((tag) => [tag.split("=")[0] ?? "", tag.split("=").slice(1).join("=")]));
  return filter;
}

export function Tasks() {
  const [search, ask] = useAsked();
  const navigate = useNavigate();
  const filters = useMemo(() => filtersOf(search), [search]);
  const query = { ...filters, order: one(search, "order") || undefined } as Record<string, string | undefined>;
  const tasks = usePages("listTasks", { query }, { every: 2_000 });
  const total = useCall("countTasks", { query: filters as Record<string, string> }, { every: 6_000, keep: true });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [bulk, setBulk] = useState<"stop" | "retry" | null>(null);
  const cursor = useCursor(tasks.items.length, (at) => void navigate({ to: `/tasks/${tasks.items[at]?.uid}` }));
  const toggle = (uid: string) => {
    const next = new Set(chosen);
    if (!next.delete(uid)) next.add(uid);
    setChosen(next);
  };
  useKeys({
    x: () => {
      const task = tasks.items[cursor.at];
      if (task) toggle(task.uid);
    },
  });
  return (
    <>
      <Head title={t("nav.tasks")} sub={total.data ? t("tasks.count", { n: count(total.data.count) }) : " "}>
        <Views search={search} />
        <Menu
          label={t("tasks.bulk")}
          icon="down"
          choices={[
            { name: t("tasks.stopall"), icon: "stop", need: "stopTasks", onPick: () => setBulk("stop") },
            { name: t("tasks.retryall"), icon: "again", need: "retryTasks", onPick: () => setBulk("retry") },
            { name: t("tasks.export"), icon: "download", onPick: () => void exportTasks(filters) },
          ]}
        >
          {t("tasks.bulk")}
        </Menu>
      </Head>
      <Filter search={search} ask={ask} />
      {chosen.size > 0 && <Chosen uids={[...chosen]} onDone={() => setChosen(new Set())} />}
      {tasks.error && !tasks.data ? <Problem error={tasks.error} /> : <List tasks={tasks} at={cursor.at} setAt={cursor.set} chosen={chosen} toggle={toggle} />}
      {bulk && <Bulk verb={bulk} filters={filters} onClose={() => setBulk(null)} />}
    </>
  );
}

function Filter({ search, ask }: { search: Search; ask: (change: Search) => void }) {
  const functions = useWhole("listFunctions");
  const [more, setMore] = useState(["error", "tag", "from", "until", "durationMin", "durationMax"].some((name) => search[name]));
  const [id, setId] = useState(one(search, "idPrefix"));
  useEffect(() => setId(one(search, "idPrefix")), [search]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ask({ idPrefix: id.trim() || undefined });
  };
  const states = one(search, "state");
  const active = FILTERS.filter((name) => search[name]).length;
  return (
    <form onSubmit={submit} role="search" className="mb-3 flex flex-col gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <div className="relative min-w-44 flex-1">
          <Icon name="search" size={14} className="pointer-events-none absolute top-2 left-2.5 text-soft" />
          <input data-search className="field mono" style={{ paddingLeft: 30 }} aria-label={t("tasks.id")} placeholder={t("tasks.id")} value={id} onChange={(event) => setId(event.target.value)} onBlur={() => id !== one(search, "idPrefix") && ask({ idPrefix: id.trim() || undefined })} />
        </div>
        <select className="field !w-auto max-w-44" aria-label={t("function")} value={one(search, "function")} onChange={(event) => ask({ function: event.target.value || undefined })}>
          <option value="">{t("tasks.anyfunction")}</option>
          {(functions.data?.items ?? []).map((each) => (
            <option key={each.name}>{each.name}</option>
          ))}
        </select>
        <select className="field !w-auto" aria-label={t("state")} value={states} onChange={(event) => ask({ state: event.target.value || undefined })}>
          <option value="">{t("tasks.anystate")}</option>
          <option value="open">{t("tasks.open")}</option>
          <option value="ended">{t("tasks.ended")}</option>
          <option value="Failed,Expired,Invalid">{t("tasks.failed")}</option>
          {STATES.map((state) => (
            <option key={state} value={state}>
              {t(`state.${state}` as "state.Running")}
            </option>
          ))}
          {states && !["open", "ended", "Failed,Expired,Invalid", ...STATES].includes(states) && <option value={states}>{states}</option>}
        </select>
        <Button onClick={() => setMore(!more)} aria-expanded={more}>
          {t("tasks.more")}
        </Button>
        {active > 0 && (
          <Button kind="quiet" icon="close" onClick={() => ask(Object.fromEntries(FILTERS.map((name) => [name, undefined])))}>
            {t("tasks.clear")}
          </Button>
        )}
      </div>
      {more && (
        <div className="sheet grid grid-cols-2 gap-3 p-3 md:grid-cols-3 xl:grid-cols-6">
          <Text label={t("error")} hint="ValueError" name="error" search={search} ask={ask} />
          <Text label={t("tag")} hint="key=value" name="tag" search={search} ask={ask} />
          <Moment label={t("from")} name="from" search={search} ask={ask} />
          <Moment label={t("until")} name="until" search={search} ask={ask} />
          <Text label={t("tasks.atleast")} hint="250ms, 5s" name="durationMin" search={search} ask={ask} />
          <Text label={t("tasks.atmost")} hint="5m" name="durationMax" search={search} ask={ask} />
        </div>
      )}
    </form>
  );
}

interface Part {
  label: string;
  name: (typeof FILTERS)[number];
  search: Search;
  ask: (change: Search) => void;
}

function Text({ label, name, hint, search, ask }: Part & { hint: string }) {
  const [text, setText] = useState(one(search, name));
  useEffect(() => setText(one(search, name)), [search, name]);
  const say = () => text.trim() !== one(search, name) && ask({ [name]: text.trim() || undefined });
  return <Field label={label}>{(id) => <input id={id} className="field" placeholder={hint} value={text} onChange={(event) => setText(event.target.value)} onBlur={say} onKeyDown={(event) => event.key === "Enter" && say()} />}</Field>;
}

function Moment({ label, name, search, ask }: Part) {
  const at = one(search, name);
  // The field speaks local time without a zone; the address speaks UTC.
  const local = at ? new Date(Date.parse(at) - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "";
  return <Field label={label}>{(id) => <input id={id} type="datetime-local" className="field" value={local} onChange={(event) => ask({ [name]: event.target.value ? new Date(event.target.value).toISOString() : undefined })} />}</Field>;
}

const COLUMNS = "grid-cols-[28px_112px_minmax(0,1fr)_auto] md:grid-cols-[28px_112px_minmax(0,1.1fr)_minmax(0,1.2fr)_70px_84px_110px]";

interface ListProps {
  tasks: ReturnType<typeof usePages<"listTasks">>;
  at: number;
  setAt: (at: number) => void;
  chosen: ReadonlySet<string>;
  toggle: (uid: string) => void;
}

function List({ tasks, at, setAt, chosen, toggle }: ListProps) {
  const box = useRef<HTMLDivElement>(null);
  const { items, hasNextPage, isFetchingNextPage, fetchNextPage } = tasks;
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 16 });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && last >= items.length - 60) void fetchNextPage();
  }, [last, items.length, hasNextPage, isFetchingNextPage, fetchNextPage]);
  useEffect(() => {
    if (at >= 0) rows.scrollToIndex(at);
  }, [at, rows]);
  return (
    <div className="sheet overflow-hidden">
      <div className={`grid ${COLUMNS} items-center gap-x-3 border-b border-rule px-3 py-2 text-[11.5px] font-semibold text-soft`} aria-hidden="true">
        <span />
        <span>{t("state")}</span>
        <span>{t("function")}</span>
        <span className="hidden md:block">{t("task")}</span>
        <span className="hidden text-right md:block">{t("attempts")}</span>
        <span className="hidden text-right md:block">{t("duration")}</span>
        <span className="text-right">{t("submitted")}</span>
      </div>
      <div ref={box} className="h-[calc(100dvh-258px)] min-h-72 overflow-auto" role="list" aria-label={t("nav.tasks")} tabIndex={0} data-testid="tasks">
        {!tasks.data && <Skeleton rows={8} />}
        {tasks.data && items.length === 0 && <Empty>{t("tasks.none")}</Empty>}
        <div className="relative" style={{ height: rows.getTotalSize() }}>
          {shown.map((row) => {
            const task = items[row.index] as Task;
            return <Row key={task.uid} task={task} top={row.start} isOn={row.index === at} isChosen={chosen.has(task.uid)} onPoint={() => setAt(row.index)} toggle={toggle} />;
          })}
        </div>
      </div>
    </div>
  );
}

function Row({ task, top, isOn, isChosen, onPoint, toggle }: { task: Task; top: number; isOn: boolean; isChosen: boolean; onPoint: () => void; toggle: (uid: string) => void }) {
  const navigate = useNavigate();
  const open = () => void navigate({ to: `/tasks/${task.uid}` });
  return (
    <div role="listitem" onPointerDown={onPoint} className={`absolute inset-x-0 grid ${COLUMNS} items-center gap-x-3 border-b border-rule px-3 ${isOn ? "bg-[var(--accent-wash)]" : "hover:bg-well"}`} style={{ height: ROW, transform: `translateY(${top}px)` }}>
      <input type="checkbox" checked={isChosen} onChange={() => toggle(task.uid)} aria-label={t("tasks.select", { task: task.taskId })} className="h-3.5 w-3.5 accent-[var(--accent)]" />
      <State name={task.state} />
      <a href={`/tasks/${task.uid}`} className="rowlink truncate" onClick={(event) => { if (!event.ctrlKey && !event.metaKey && event.button === 0) { event.preventDefault(); open(); } }}>
        {task.function}
      </a>
      <span className="mono hidden min-w-0 truncate text-soft md:block" title={task.error ? `${task.error.kind}: ${task.error.message}` : task.taskId}>
        {task.error ? <span className="text-bad">{task.error.kind}</span> : task.taskId}
        {task.error && ` ${task.error.message}`}
      </span>
      <span className="num hidden text-right text-soft md:block">{task.attemptsTotal}</span>
      <span className="num hidden text-right md:block">{task.startedAt ? span(task.durationMs) : "–"}</span>
      <span className="text-right text-soft">
        <Ago at={task.submittedAt} />
      </span>
    </div>
  );
}

/** What may be done with the tasks that were picked. */
function Chosen({ uids, onDone }: { uids: string[]; onDone: () => void }) {
  const [busy, setBusy] = useState(false);
  const each = async (operation: "stopTask" | "retryTask") => {
    setBusy(true);
    const all = await Promise.allSettled(uids.map((task) => call(operation, { path: { task }, ...(operation === "stopTask" ? { body: {} } : {}) } as never)));
    const refused = all.filter((one) => one.status === "rejected");
    const first = refused[0];
    if (first?.status === "rejected") toast(t("tasks.partly", { done: uids.length - refused.length, all: uids.length, why: String((first.reason as Error).message) }), "bad");
    else toast(t("tasks.done", { n: uids.length }));
    setBusy(false);
    onDone();
    void reread("listTasks", "countTasks", "overview");
  };
  return (
    <div className="popup fixed bottom-4 left-1/2 z-40 flex max-w-[calc(100vw-24px)] -translate-x-1/2 flex-wrap items-center gap-2 px-3 py-2">
      <span className="num px-1 font-medium">{t("tasks.chosen", { n: uids.length })}</span>
      <Button icon="stop" need="stopTask" busy={busy} onClick={() => void each("stopTask")}>
        {t("stop")}
      </Button>
      <Button icon="again" need="retryTask" busy={busy} onClick={() => void each("retryTask")}>
        {t("retry")}
      </Button>
      <Button kind="quiet" icon="close" aria-label={t("close")} onClick={onDone} />
    </div>
  );
}

/** First what would happen, then whether it should. */
function Bulk({ verb, filters, onClose }: { verb: "stop" | "retry"; filters: Filters; onClose: () => void }) {
  const [would, setWould] = useState<BulkResult>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const operation = verb === "stop" ? "stopTasks" : "retryTasks";
  const filter = useMemo(() => {
    const asked = bulkFilter(filters);
    // Only what can be stopped or re-run is meant, unless states were named.
    return asked.state ? asked : { ...asked, state: [verb === "stop" ? "open" : "Failed"] };
  }, [filters, verb]);
  useEffect(() => {
    call(operation, { body: { filter, dryRun: true } }).then(setWould, setError);
  }, [operation, filter]);
  const go = async () => {
    setBusy(true);
    try {
      const done = await call(operation, { body: { filter, dryRun: false } });
      toast(t("tasks.done", { n: done.changed }));
      void reread("listTasks", "countTasks", "overview");
      onClose();
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  const n = would?.matched ?? 0;
  return (
    <Dialog
      title={t(verb === "stop" ? "tasks.stopall" : "tasks.retryall")}
      open
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("cancel")}</Button>
          <Button kind={verb === "stop" ? "bad" : "main"} disabled={!would || n === 0} busy={busy} onClick={() => void go()}>
            {t(verb === "stop" ? "tasks.stopn" : "tasks.retryn", { n: count(n) })}
          </Button>
        </>
      }
    >
      <div className="min-h-28 pt-1">
        {error ? <Problem error={error} /> : !would ? <Skeleton rows={2} /> : (
          <>
            <p data-testid="dry-run">{t("tasks.would", { n: count(n) })}</p>
            <p className="mono mt-2 break-all text-soft">{stringifySearch(filter as never) || "–"}</p>
            {would.sample.length > 0 && <p className="mono mt-2 max-h-32 overflow-auto text-soft">{would.sample.slice(0, 12).join("  ")}</p>}
          </>
        )}
      </div>
    </Dialog>
  );
}

const EXPORT_MAX = 20_000;

/** What was found as lines of JSON, at most so many. */
async function exportTasks(filters: Filters): Promise<void> {
  const lines: string[] = [];
  let cursor: string | undefined;
  try {
    do {
      const answer = await send(address("listTasks", { query: { ...(filters as Record<string, string>), limit: 1_000, cursor } }));
      const page = (await answer.json()) as { items: Task[]; next?: string };
      for (const task of page.items) lines.push(JSON.stringify(task));
      cursor = page.next;
    } while (cursor && lines.length < EXPORT_MAX);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), "bad");
    return;
  }
  save(new Blob([`${lines.join("\n")}\n`], { type: "application/x-ndjson" }), "tasks.jsonl");
  toast(t(cursor ? "tasks.exported.cut" : "tasks.exported", { n: compact(lines.length) }));
}

interface View {
  name: string;
  search: string;
}

const VIEWS = "stint.views";

function views(): View[] {
  try {
    return JSON.parse(localStorage.getItem(VIEWS) ?? "[]") as View[];
  } catch {
    return [];
  }
}

/** Searches that were given a name, in this browser. */
function Views({ search }: { search: Search }) {
  const navigate = useNavigate();
  const [all, setAll] = useState(views);
  const [name, setName] = useState<string | null>(null);
  const keep = (next: View[]) => {
    setAll(next);
    localStorage.setItem(VIEWS, JSON.stringify(next));
  };
  const go = (view: View) => void navigate({ to: "/tasks", search: Object.fromEntries(new URLSearchParams(view.search)) as never });
  const isKept = all.some((view) => view.search === stringifySearch(search));
  return (
    <>
      <Menu
        label={t("views")}
        icon="star"
        choices={[
          ...all.map((view) => ({ name: view.name, onPick: () => go(view) })),
          ...(isKept
            ? [{ name: t("views.forget"), icon: "close" as const, onPick: () => keep(all.filter((view) => view.search !== stringifySearch(search))) }]
            : [{ name: t("views.keep"), icon: "plus" as const, onPick: () => setName("") }]),
        ]}
      >
        {t("views")}
      </Menu>
      <Dialog
        title={t("views.keep")}
        open={name !== null}
        onClose={() => setName(null)}
        foot={
          <Button kind="main" disabled={!name?.trim()} onClick={() => { keep([...all, { name: (name ?? "").trim(), search: stringifySearch(search) }]); setName(null); }}>
            {t("save")}
          </Button>
        }
      >
        <Field label={t("name")}>{(id) => <input id={id} className="field" value={name ?? ""} onChange={(event) => setName(event.target.value)} />}</Field>
      </Dialog>
    </>
  );
}
