// Logs of all functions: searched backwards from now, or followed.
import { Link } from "@tanstack/react-router";
import { type FormEvent, useEffect, useMemo, useState } from "react";
import { address } from "../api/client";
import { t } from "../i18n";
import { usePages, useWhole } from "../state/query";
import { one, useAsked } from "../state/search";
import { Button, Head, Problem, Sheet, Skeleton } from "../ui/kit";
import { Lines, useLines } from "../ui/logs";

export function Logs() {
  const [search, ask] = useAsked();
  const isLive = one(search, "live") !== "";
  const query = useMemo(() => {
    const names = ["function", "task", "request", "instance", "text"] as const;
    return Object.fromEntries(names.flatMap((name) => (one(search, name) ? [[name, one(search, name)]] : []))) as Record<(typeof names)[number], string>;
  }, [search]);
  const functions = useWhole("listFunctions");
  const [text, setText] = useState(one(search, "text"));
  useEffect(() => setText(one(search, "text")), [search]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ask({ text: text || undefined });
  };
  const about = [one(search, "task") && ["task", one(search, "task")], one(search, "request") && ["request", one(search, "request")], one(search, "instance") && ["instance", one(search, "instance")]].filter(Boolean) as string[][];
  return (
    <>
      <Head title={t("nav.logs")}>
        <Button icon={isLive ? "pause" : "play"} kind={isLive ? undefined : "main"} onClick={() => ask({ live: isLive ? undefined : "1" })}>
          {isLive ? t("logs.pause") : t("logs.follow")}
        </Button>
      </Head>
      <form onSubmit={submit} role="search" className="mb-3 flex flex-wrap items-center gap-2">
        <input data-search className="field min-w-44 flex-1" style={{ width: "auto" }} aria-label={t("logs.text")} placeholder={t("logs.text")} value={text} onChange={(event) => setText(event.target.value)} onBlur={submit} />
        <select className="field max-w-52" style={{ width: "auto" }} aria-label={t("function")} value={one(search, "function")} onChange={(event) => ask({ function: event.target.value || undefined })}>
          <option value="">{t("tasks.anyfunction")}</option>
          {(functions.data?.items ?? []).map((each) => (
            <option key={each.name}>{each.name}</option>
          ))}
        </select>
        {about.map(([name, value]) => (
          <span key={name} className="tag">
            {name} <span className="mono max-w-48 truncate">{value}</span>
            <button type="button" aria-label={t("tasks.clear")} onClick={() => ask({ [name as string]: undefined })}>
              ×
            </button>
          </span>
        ))}
      </form>
      <Sheet>{isLive ? <Live query={query} /> : <Past query={query} />}</Sheet>
      <p className="mt-2 text-soft">
        {t("logs.hint")} <Link to="/tasks" className="link">{t("nav.tasks")}</Link>
      </p>
    </>
  );
}

const HEIGHT = "h-[calc(100dvh-236px)] min-h-72";

function Live({ query }: { query: Record<string, string> }) {
  const { lines, error } = useLines(address("searchLogs", { query: { ...query, follow: true } }));
  return <Lines lines={lines} error={error} named waiting={t("logs.waiting")} className={HEIGHT} />;
}

function Past({ query }: { query: Record<string, string> }) {
  const found = usePages("searchLogs", { query: { ...query, order: "desc" } }, { every: 4_000, limit: 1_000 });
  const lines = useMemo(() => [...found.items].reverse(), [found.items]);
  if (found.error && !found.data) return <Problem error={found.error} className="m-3" />;
  if (!found.data) return <div className={HEIGHT}><Skeleton rows={10} /></div>;
  return (
    <>
      {found.hasNextPage && (
        <button type="button" className="link px-4 pt-2" disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {t("logs.older")}
        </button>
      )}
      <Lines lines={lines} named className={HEIGHT} />
    </>
  );
}
