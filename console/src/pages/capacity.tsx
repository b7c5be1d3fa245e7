// What there is to run on, what runs on it, and what waits for it.
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { call } from "../api/client";
import type { Backlog } from "../api/generated";
import type { ItemOf } from "../state/query";
import { t, word } from "../i18n";
import { reread, useCall, usePages } from "../state/query";
import { compact, figure, size } from "../ui/format";
import { Ago, Button, Confirm, Empty, Head, Loaded, Problem, Sheet, Skeleton, State, Tabs } from "../ui/kit";
import { Pause } from "./function";
import { Utilisation } from "./home";

const TABS = ["nodes", "instances", "backlogs"] as const;

export function Capacity() {
  const { tab = "nodes" } = useParams({ strict: false }) as { tab?: string };
  return (
    <>
      <Head title={t("nav.capacity")} sub=" " />
      <Tabs on={tab} tabs={TABS.map((id) => ({ id, name: t(`capacity.${id}`), to: id === "nodes" ? "/capacity" : `/capacity/${id}` }))} />
      {tab === "nodes" && <Nodes />}
      {tab === "instances" && <Instances />}
      {tab === "backlogs" && <Backlogs />}
    </>
  );
}

function Nodes() {
  const overview = useCall("overview", {}, { every: 1_500 });
  const runtimes = useCall("listRuntimes");
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={t("capacity.nodes")}>
        <Loaded query={overview}>{(data) => (data.nodes.length === 0 ? <Empty>{t("concern.nonode")}</Empty> : <Utilisation nodes={data.nodes} />)}</Loaded>
      </Sheet>
      <Sheet title={t("runtimes")}>
        <Loaded query={runtimes} rows={8}>
          {(page) => (
            <table className="table">
              <tbody>
                {page.items.map((one) => (
                  <tr key={one.name}>
                    <td className="mono font-semibold">{one.name}</td>
                    <td className="mono break-all text-soft">{one.behind}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Loaded>
      </Sheet>
    </div>
  );
}

type Instance = ItemOf<"listInstances">;

function Instances() {
  const query = useCall("listInstances", { query: { limit: 500 } }, { every: 1_500 });
  const [ends, setEnds] = useState<Instance | null>(null);
  return (
    <Sheet>
      <Loaded query={query} rows={6}>
        {(page) =>
          page.items.length === 0 ? (
            <Empty>{t("instances.none")}</Empty>
          ) : (
            <div className="overflow-x-auto">
              <table className="table">
                <thead>
                  <tr>
                    <th>{t("state")}</th>
                    <th>{t("function")}</th>
                    <th className="hidden md:table-cell">{t("instance")}</th>
                    <th className="hidden lg:table-cell">{t("instance.enforced")}</th>
                    <th className="r hidden md:table-cell">{t("instance.traffic")}</th>
                    <th className="r">{t("created")}</th>
                    <th className="w-px">
                      <span className="sr-only">{t("more")}</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {page.items.map((one) => (
                    <tr key={one.id}>
                      <td title={one.reason}>
                        <State name={one.state} />
                      </td>
                      <td>
                        <Link to={`/functions/${one.function}`} className="rowlink">
                          {one.function}
                        </Link>
                        <span className="ml-2 text-soft">{one.version}</span>
                        {one.destroyedAt && one.reason && <span className="block text-soft">{one.reason}</span>}
                      </td>
                      <td className="mono hidden break-all text-soft md:table-cell">{one.id}</td>
                      <td className="hidden max-w-64 lg:table-cell">
                        <span className="flex flex-wrap gap-1">
                          {(one.enforced ?? []).map((wall) => (
                            <span key={wall} className="tag">
                              {wall}
                            </span>
                          ))}
                        </span>
                      </td>
                      <td className="r hidden whitespace-nowrap text-soft md:table-cell">{`↑ ${size(one.sentBytes ?? 0)} ↓ ${size(one.receivedBytes ?? 0)}`}</td>
                      <td className="r text-soft">
                        <Ago at={one.createdAt} />
                      </td>
                      <td className="whitespace-nowrap">
                        <Link to="/logs" search={{ instance: one.id, function: one.function } as never} className="link mr-2">
                          {t("nav.logs")}
                        </Link>
                        {!one.destroyedAt && (
                          <Button kind="quiet" icon="stop" need="stopInstance" aria-label={t("instance.end")} title={t("instance.end")} onClick={() => setEnds(one)} />
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Loaded>
      <Confirm title={t("instance.end")} text={t("instance.end.text")} verb={t("instance.end")} bad open={ends !== null} onClose={() => setEnds(null)} act={async () => { await call("stopInstance", { path: { instance: ends?.id ?? "" } }); await reread("listInstances"); }} />
    </Sheet>
  );
}

function Backlogs() {
  const query = usePages("listBacklogs", {}, { every: 1_500 });
  if (query.error && !query.data) return <Problem error={query.error} />;
  if (!query.data) return <Skeleton rows={6} />;
  if (query.items.length === 0) return <Empty>{t("backlogs.none")}</Empty>;
  return (
    <Sheet>
      <div className="overflow-x-auto">
        <table className="table">
          <thead>
            <tr>
              <th>{t("function")}</th>
              <th className="r">{t("home.waiting")}</th>
              <th className="r hidden sm:table-cell">{t("home.delayed")}</th>
              <th className="r">{t("state.Running")}</th>
              <th className="r hidden md:table-cell">{t("home.rate")}</th>
              <th className="r hidden md:table-cell">{t("instances")}</th>
              <th className="hidden lg:table-cell">{t("backlog.priorities")}</th>
              <th className="r hidden sm:table-cell">{t("backlog.oldest")}</th>
              <th className="w-px">
                <span className="sr-only">{t("pause")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {query.items.map((one) => (
              <tr key={one.function}>
                <td>
                  <Link to="/tasks" search={{ function: one.function, state: "open" } as never} className="rowlink">
                    {one.function}
                  </Link>
                  {one.paused && <span className="tag ml-2">{t("paused")}</span>}
                  {one.sentence && <span className="block max-w-md text-soft">{one.sentence}</span>}
                </td>
                <td className="r">{compact(one.waiting)}</td>
                <td className="r hidden sm:table-cell">{compact(one.delayed)}</td>
                <td className="r">{compact(one.running)}</td>
                <td className="r hidden md:table-cell">{figure(one.startsPerSecond)}</td>
                <td className="r hidden whitespace-nowrap md:table-cell">{one.wanted > one.instances ? `${one.instances} → ${one.wanted}` : one.instances}</td>
                <td className="hidden lg:table-cell">
                  <Priorities backlog={one} />
                </td>
                <td className="r hidden text-soft sm:table-cell">
                  <Ago at={one.oldestAt} />
                </td>
                <td>
                  <Pause name={one.function} paused={one.paused} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Sheet>
  );
}

/** How many wait in each class, 9 first. */
function Priorities({ backlog }: { backlog: Backlog }) {
  const classes = backlog.byPriority.map((n, priority) => ({ n, priority })).filter(({ n }) => n > 0).reverse();
  if (classes.length === 0) return <span className="text-soft">–</span>;
  return (
    <span className="flex flex-wrap gap-1">
      {classes.map(({ n, priority }) => (
        <span key={priority} className="tag num" title={word("priority", String(priority))}>
          {priority}: {compact(n)}
        </span>
      ))}
    </span>
  );
}
