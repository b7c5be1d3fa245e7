// One task: what became of it, attempt by attempt and phase by phase; what went in and came out; what it printed;
// what it waits for; and how to send it through again.
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { Suspense, lazy, useState } from "react";
import { address, bytes, call } from "../api/client";
import type { Attempt, Task, TaskAccepted } from "../api/generated";
import { can } from "../api/session";
import { rich, t, word } from "../i18n";
import { reread, useCall } from "../state/query";
import { instant, moment, size, span } from "../ui/format";
import { Ago, Button, Confirm, Copy, Dialog, Facts, Field, Head, Loaded, Menu, Problem, Sheet, Skeleton, State } from "../ui/kit";
import { Lines, useLines } from "../ui/logs";
import { PhaseBar, PhaseLegend, scaleOf } from "../ui/phases";
import { toast } from "../ui/toast";
import { Remote } from "../ui/viewer";

const Editor = lazy(() => import("../ui/editor").then((part) => ({ default: part.Editor })));

export function TaskPage() {
  const { task: uid } = useParams({ strict: false }) as { task: string };
  const [ended, setEnded] = useState(false);
  const query = useCall("getTask", { path: { task: uid } }, { every: ended ? 10_000 : 1_000 });
  const task = query.data;
  if (task && task.ended !== ended) setEnded(task.ended);
  if (query.error && !task) return <Problem error={query.error} />;
  if (!task) return <Skeleton rows={8} />;
  return <Page task={task} />;
}

function Page({ task }: { task: Task }) {
  const [stops, setStops] = useState(false);
  const [again, setAgain] = useState(false);
  const path = { task: task.uid };
  const retry = async () => {
    try {
      await call("retryTask", { path });
      await reread("getTask", "listTasks");
      toast(t("task.retried"));
    } catch (error) {
      toast((error as Error).message, "bad");
    }
  };
  const title = (
    <>
      {task.function} <span className="mono font-normal break-all text-soft">{task.taskId}</span>
    </>
  );
  return (
    <>
      <Head title={title} back={{ to: "/tasks", name: t("nav.tasks") }} sub={<State name={task.state} />}>
        {!task.ended && (
          <Button icon="stop" need="stopTask" onClick={() => setStops(true)}>
            {t("stop")}
          </Button>
        )}
        {task.ended && (
          <Button icon="again" need="retryTask" onClick={() => void retry()}>
            {t("retry")}
          </Button>
        )}
        <Button icon="play" need="submitTask" onClick={() => setAgain(true)}>
          {t("task.again")}
        </Button>
        <Menu label={t("more")} choices={[{ name: t("task.logs"), icon: "logs", onPick: () => location.assign(`/logs?task=${task.uid}`) }, { name: t("nav.functions"), icon: "functions", onPick: () => location.assign(`/functions/${task.function}`) }]} />
      </Head>
      {task.error && (
        <div className="note note-bad mb-4" data-testid="error">
          <b className="mono">{task.error.kind}</b> <span className="tag">{task.error.class}</span>
          <p className="mt-1 break-words whitespace-pre-wrap">{task.error.message}</p>
        </div>
      )}
      <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
        <div className="grid min-w-0 gap-4">
          {!task.ended && <Why task={task} />}
          <Attempts task={task} />
          <Log task={task} />
          <div className="grid gap-4 lg:grid-cols-2">
            <Sheet title={t("payload")}>
              <Remote path={address("taskPayload", { path })} name={`${task.taskId}-payload`} total={task.payloadBytes} keyed={task.uid} />
            </Sheet>
            <Sheet title={t("result")}>
              <Remote path={address("taskResult", { path })} name={`${task.taskId}-result`} total={task.resultBytes} keyed={`${task.endedAt}`} />
            </Sheet>
          </div>
        </div>
        <div className="grid min-w-0 gap-4">
          <About task={task} />
          <Events task={task} />
        </div>
      </div>
      <Confirm title={t("task.stop")} text={t("task.stop.text")} verb={t("stop")} bad open={stops} onClose={() => setStops(false)} act={async () => { await call("stopTask", { path, body: {} }); await reread("getTask"); }} />
      {again && <Again task={task} onClose={() => setAgain(false)} />}
    </>
  );
}

function Why({ task }: { task: Task }) {
  const query = useCall("whyTask", { path: { task: task.uid } }, { every: 2_000 });
  return (
    <Sheet title={t("why")}>
      <Loaded query={query} rows={2}>
        {(why) => (
          <div className="p-4" data-testid="why">
            <p className="text-[14px]">{why.sentence}</p>
            <p className="mt-1 flex flex-wrap gap-x-4 text-soft">
              <span className="mono">{why.cause}</span>
              {why.position != null && <span>{t("why.position", { n: why.position })}</span>}
              {why.estimatedStart && <span>{rich("why.start", { at: <Ago at={why.estimatedStart} /> })}</span>}
            </p>
            {(why.waitsFor ?? []).length > 0 && (
              <p className="mt-2">
                {t("why.waits")}{" "}
                {(why.waitsFor ?? []).map((one) => (
                  <Link key={one} to={`/tasks/${encodeURIComponent(one)}`} className="link mono mr-3">
                    {one}
                  </Link>
                ))}
              </p>
            )}
          </div>
        )}
      </Loaded>
    </Sheet>
  );
}

function Attempts({ task }: { task: Task }) {
  const attempts = task.attempts ?? [];
  const [picked, setPicked] = useState<number>();
  const scale = scaleOf(attempts);
  const shown = attempts.find((one) => one.number === picked) ?? attempts.at(-1);
  return (
    <Sheet title={t("attempts")} actions={task.progress ? <span className="text-soft">{`${Math.round(task.progress.percent)} % ${task.progress.message}`}</span> : undefined}>
      {attempts.length === 0 && <p className="p-4 text-soft">{t("attempts.none")}</p>}
      {attempts.length > 0 && (
        <table className="table" data-testid="attempts">
          <thead>
            <tr>
              <th className="w-px">#</th>
              <th className="w-px">{t("outcome")}</th>
              <th>{t("phases")}</th>
              <th className="r hidden sm:table-cell">{t("ran")}</th>
              <th className="r hidden lg:table-cell">{t("memory")}</th>
              <th className="r hidden lg:table-cell">CPU</th>
            </tr>
          </thead>
          <tbody>
            {attempts.map((attempt) => (
              <tr key={attempt.number} data-on={attempt === shown && attempts.length > 1 ? "" : undefined}>
                <td>
                  <button type="button" className="link num" onClick={() => setPicked(attempt.number)}>
                    {attempt.number}
                  </button>
                </td>
                <td className="whitespace-nowrap">
                  {attempt.outcome ? word("outcome", attempt.outcome) : t("state.Running")}
                  {attempt.cold && <span className="tag ml-1.5">{t("cold")}</span>}
                </td>
                <td className="min-w-24">
                  <PhaseBar phases={attempt.phases} scale={scale} />
                </td>
                <td className="r hidden sm:table-cell">{span(attempt.phases.ranMs)}</td>
                <td className="r hidden lg:table-cell">{attempt.memoryMb ? `${Math.round(attempt.memoryMb)} MB` : "–"}</td>
                <td className="r hidden lg:table-cell">{span(attempt.cpuMs)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {shown && <AttemptDetail attempt={shown} />}
    </Sheet>
  );
}

function AttemptDetail({ attempt }: { attempt: Attempt }) {
  return (
    <div className="border-t border-rule p-4">
      <PhaseLegend phases={attempt.phases} />
      <p className="mt-3 flex flex-wrap gap-x-5 gap-y-1 text-soft">
        <span>{t("attempt.number", { n: attempt.number })}</span>
        <span>{t("node", { id: attempt.node })}</span>
        {attempt.instance && <span className="mono break-all">{attempt.instance}</span>}
        {attempt.startedAt && <span className="num">{moment(attempt.startedAt)}</span>}
      </p>
      {attempt.error && (
        <p className="mt-2 break-words whitespace-pre-wrap text-bad">
          <b className="mono">{attempt.error.kind}</b> {attempt.error.message}
        </p>
      )}
    </div>
  );
}

function Log({ task }: { task: Task }) {
  // Asked anew when the task is sent through again.
  const path = `${address("taskLogs", { path: { task: task.uid }, query: { follow: true } })}#${task.ended && task.endedAt}`;
  const { lines, ended, error } = useLines(can("taskLogs") ? path.split("#")[0] ?? null : null);
  return (
    <Sheet title={t("logs.title")} actions={<span className="text-soft">{ended ? t("logs.ended") : t("logs.live")}</span>}>
      <Lines lines={lines} error={error} waiting={ended ? t("logs.none") : t("logs.waiting")} className="h-56" />
    </Sheet>
  );
}

function About({ task }: { task: Task }) {
  const tags = Object.entries(task.tags ?? {});
  return (
    <Sheet title={t("about")}>
      <Facts
        of={[
          [t("function"), <Link key="f" to={`/functions/${task.function}`} className="link">{task.function}</Link>],
          [t("qualifier"), task.qualifier],
          ["uid", <Copy key="u" text={task.uid} />],
          [t("request"), <Copy key="r" text={task.requestId} />],
          [t("priority"), task.priority],
          [t("submitted"), <Ago key="s" at={task.submittedAt} />],
          task.startedAt ? [t("started"), <Ago key="st" at={task.startedAt} />] : null,
          task.endedAt ? [t("ended"), <Ago key="e" at={task.endedAt} />] : null,
          task.expiresAt ? [t("expires"), <Ago key="x" at={task.expiresAt} />] : null,
          task.startedAt ? [t("duration"), span(task.durationMs)] : null,
          [t("retries"), t("retries.value", { own: task.retries, system: task.systemRetries })],
          task.orderKey ? [t("orderkey"), task.orderKey] : null,
          [t("delivery"), word("delivery", task.delivery)],
          [t("payload"), size(task.payloadBytes)],
          [t("result"), size(task.resultBytes)],
          task.stopReason ? [t("stopreason"), task.stopReason] : null,
          tags.length > 0 ? [t("tags"), <span key="t" className="flex flex-wrap gap-1">{tags.map(([name, value]) => <Link key={name} to="/tasks" search={{ tag: `${name}=${value}` } as never} className="tag no-underline">{name}={value}</Link>)}</span>] : null,
        ]}
      />
    </Sheet>
  );
}

function Events({ task }: { task: Task }) {
  const events = task.events ?? [];
  return (
    <Sheet title={t("history")}>
      <ol className="p-4">
        {events.map((event, at) => (
          <li key={event.id} className="relative flex gap-3 pb-3 last:pb-0">
            {at < events.length - 1 && <span aria-hidden="true" className="absolute top-4 bottom-0 left-[5.5px] w-px bg-rule" />}
            <span className="min-w-0 flex-1">
              <State name={event.state} />
              {event.detail && <span className="block pl-[18px] break-words text-soft">{event.detail}</span>}
            </span>
            <time dateTime={event.at} title={moment(event.at)} className="mono text-soft">
              {instant(event.at)}
            </time>
          </li>
        ))}
      </ol>
    </Sheet>
  );
}

const EDITED_MAX = 1 << 20;

/** The same once more as a task of its own, with a payload that may be changed first. */
function Again({ task, onClose }: { task: Task; onClose: () => void }) {
  const navigate = useNavigate();
  const [text, setText] = useState<string>();
  const [priority, setPriority] = useState(task.priority);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const path = { task: task.uid };
  const mayRead = can("taskPayload");
  if (text === undefined && !error) {
    if (task.payloadBytes === 0 || !mayRead) setText("");
    else {
      bytes(address("taskPayload", { path }), EDITED_MAX).then(
        ({ data, isWhole }) => {
          try {
            if (!isWhole) throw new Error();
            setText(new TextDecoder("utf-8", { fatal: true }).decode(data));
          } catch {
            setError(new Error(t("again.bytes")));
          }
        },
        setError,
      );
    }
  }
  const send = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const body = { payloadText: text ?? "", priority, ...(task.tags ? { tags: task.tags } : {}), ...(task.orderKey ? { orderKey: task.orderKey } : {}) };
      const made: TaskAccepted = await call("submitTask", { path: { function: task.function }, query: { qualifier: task.qualifier }, body });
      toast(t("again.done"));
      onClose();
      void navigate({ to: `/tasks/${made.uid}` });
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("task.again")} open onClose={onClose} wide={760} foot={<><Button onClick={onClose}>{t("cancel")}</Button><Button kind="main" busy={busy} disabled={text === undefined} onClick={() => void send()}>{t("submit")}</Button></>}>
      <p className="mb-3 text-soft">{t("again.text")}</p>
      <div className="h-64">
        {text !== undefined && (
          <Suspense fallback={<Skeleton />}>
            <Editor value={text} onChange={setText} mode="json" label={t("payload")} className="h-64" />
          </Suspense>
        )}
      </div>
      <div className="mt-3 w-40">
        <Field label={t("priority")}>{(id) => <select id={id} className="field" value={priority} onChange={(event) => setPriority(Number(event.target.value))}>{Array.from({ length: 10 }, (_, n) => <option key={n}>{n}</option>)}</select>}</Field>
      </div>
      <Problem error={error} className="mt-3" />
    </Dialog>
  );
}
