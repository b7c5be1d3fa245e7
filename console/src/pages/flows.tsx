// All flows, and all executions.
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Execution } from "../api/generated";
import { can } from "../api/session";
import { t, word } from "../i18n";
import { useCursor } from "../state/keys";
import { useCall, usePages, useWhole } from "../state/query";
import { one, useAsked } from "../state/search";
import { count, span } from "../ui/format";
import { Icon } from "../ui/icons";
import { Ago, Button, Empty, Head, Loaded, Problem, Sheet, Skeleton, State, Tabs } from "../ui/kit";

const tabs = () => [
  { id: "flows", name: t("nav.flows"), to: "/flows" },
  { id: "executions", name: t("executions"), to: "/flows/executions" },
];

function Fresh() {
  if (!can("createFlow")) return null;
  return (
    <Link to="/flows/new" className="btn btn-main no-underline">
      <Icon name="plus" />
      {t("flow.new")}
    </Link>
  );
}

export function Flows() {
  const query = useWhole("listFlows", { every: 5_000 });
  const running = useCall("listExecutions", { query: { status: "Running", limit: 1_000 } }, { every: 2_000 });
  const [text, setText] = useState("");
  const all = (query.data?.items ?? []).filter((flow) => flow.name.toLowerCase().includes(text.trim().toLowerCase()));
  const navigate = useNavigate();
  const cursor = useCursor(all.length, (at) => void navigate({ to: `/flows/${all[at]?.name}` }));
  const active = (name: string) => (running.data?.items ?? []).filter((run) => run.flow === name).length;
  return (
    <>
      <Head title={t("nav.flows")} sub={query.data ? t("flow.count", { n: count(query.data.items.length) }) : " "}>
        <Fresh />
      </Head>
      <Tabs on="flows" tabs={tabs()} />
      <input data-search type="search" className="field mb-3 max-w-sm" aria-label={t("flow.find")} placeholder={t("flow.find")} value={text} onChange={(event) => setText(event.target.value)} />
      <Sheet>
        <Loaded query={query} rows={6}>
          {() =>
            all.length === 0 ? (
              <Empty action={<Fresh />}>{t("flow.none")}</Empty>
            ) : (
              <table className="table">
                <thead>
                  <tr>
                    <th>{t("name")}</th>
                    <th className="hidden sm:table-cell">{t("flow.language")}</th>
                    <th className="hidden md:table-cell">{t("flow.mode")}</th>
                    <th className="r">{t("state.Running")}</th>
                    <th className="r">{t("changed")}</th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((flow, at) => (
                    <tr key={flow.id} data-on={at === cursor.at ? "" : undefined}>
                      <td>
                        <Link to={`/flows/${flow.name}`} className="rowlink break-all">
                          {flow.name}
                        </Link>
                        {flow.description && <span className="ml-2 text-soft">{flow.description}</span>}
                      </td>
                      <td className="hidden text-soft sm:table-cell">{flow.dialect}</td>
                      <td className="hidden text-soft md:table-cell">{word("mode", flow.mode)}</td>
                      <td className="r">{active(flow.name)}</td>
                      <td className="r text-soft">
                        <Ago at={flow.modifiedAt} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Sheet>
    </>
  );
}

export function AllExecutions() {
  return (
    <>
      <Head title={t("executions")} sub=" " />
      <Tabs on="executions" tabs={tabs()} />
      <Executions />
    </>
  );
}

const STATUSES = ["Running", "Succeeded", "Failed", "TimedOut", "Stopped"];

/** Executions of one flow or of all. */
export function Executions({ flow }: { flow?: string }) {
  const [search, ask] = useAsked();
  const navigate = useNavigate();
  const query = { flow, status: one(search, "status") || undefined, prefix: one(search, "prefix") || undefined };
  const found = usePages("listExecutions", { query }, { every: 2_000, limit: 100 });
  const [prefix, setPrefix] = useState(one(search, "prefix"));
  const open = (run: Execution) => `/flows/${encodeURIComponent(run.flow)}/executions/${encodeURIComponent(run.name)}`;
  const cursor = useCursor(found.items.length, (at) => found.items[at] && void navigate({ to: open(found.items[at]) }));
  return (
    <>
      <form role="search" className="mb-3 flex flex-wrap gap-2" onSubmit={(event) => { event.preventDefault(); ask({ prefix: prefix || undefined }); }}>
        <input data-search className="field mono max-w-sm" aria-label={t("execution.find")} placeholder={t("execution.find")} value={prefix} onChange={(event) => setPrefix(event.target.value)} onBlur={() => ask({ prefix: prefix || undefined })} />
        <select className="field" style={{ width: "auto" }} aria-label={t("state")} value={one(search, "status")} onChange={(event) => ask({ status: event.target.value || undefined })}>
          <option value="">{t("tasks.anystate")}</option>
          {STATUSES.map((status) => (
            <option key={status} value={status}>
              {word("state", status)}
            </option>
          ))}
        </select>
      </form>
      <Sheet>
        {found.error && !found.data ? (
          <Problem error={found.error} className="m-3" />
        ) : !found.data ? (
          <Skeleton rows={6} />
        ) : found.items.length === 0 ? (
          <Empty>{t("executions.none")}</Empty>
        ) : (
          <table className="table">
            <thead>
              <tr>
                <th className="w-px">{t("state")}</th>
                <th>{t("name")}</th>
                {!flow && <th>{t("flow")}</th>}
                <th className="r hidden sm:table-cell">{t("duration")}</th>
                <th className="r">{t("started")}</th>
              </tr>
            </thead>
            <tbody>
              {found.items.map((run, at) => (
                <tr key={run.id} data-on={at === cursor.at ? "" : undefined}>
                  <td>
                    <State name={run.status} />
                  </td>
                  <td className="max-w-0 min-w-32">
                    <Link to={open(run)} className="rowlink mono block truncate">
                      {run.name}
                    </Link>
                    {run.error && <span className="block truncate text-bad">{run.error}</span>}
                  </td>
                  {!flow && <td>{run.flow}</td>}
                  <td className="r hidden sm:table-cell">{run.endedAt ? span(Date.parse(run.endedAt) - Date.parse(run.startedAt)) : "–"}</td>
                  <td className="r text-soft">
                    <Ago at={run.startedAt} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Sheet>
      {found.hasNextPage && (
        <Button className="mt-3" busy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {t("older")}
        </Button>
      )}
    </>
  );
}
