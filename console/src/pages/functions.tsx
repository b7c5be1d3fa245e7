// All functions: what each is, what waits and runs, and whether something holds it.
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { t } from "../i18n";
import { can } from "../api/session";
import { useCursor } from "../state/keys";
import { useWhole } from "../state/query";
import { one, useAsked } from "../state/search";
import { compact, count, figure, size } from "../ui/format";
import { Icon } from "../ui/icons";
import { Ago, Empty, Head, Loaded, Sheet } from "../ui/kit";

export function Functions() {
  const [search, ask] = useAsked();
  const prefix = one(search, "prefix");
  const [text, setText] = useState(prefix);
  const query = useWhole("listFunctions", { every: 5_000 });
  const backlogs = useWhole("listBacklogs", { every: 2_000 });
  const waiting = new Map((backlogs.data?.items ?? []).map((backlog) => [backlog.function, backlog]));
  const all = (query.data?.items ?? []).filter((each) => each.name.toLowerCase().includes(text.trim().toLowerCase()));
  const navigate = useNavigate();
  const cursor = useCursor(all.length, (at) => void navigate({ to: `/functions/${all[at]?.name}` }));
  const fresh = can("write") && (
    <Link to="/functions/new" className="btn btn-main no-underline">
      <Icon name="plus" />
      {t("fn.new")}
    </Link>
  );
  return (
    <>
      <Head title={t("nav.functions")} sub={query.data ? t("fn.count", { n: count(query.data.items.length) }) : " "}>
        {fresh}
      </Head>
      <input data-search type="search" className="field mb-3 max-w-sm" aria-label={t("fn.find")} placeholder={t("fn.find")} value={text} onChange={(event) => setText(event.target.value)} onBlur={() => ask({ prefix: text || undefined })} />
      <Sheet>
        <Loaded query={query} rows={6}>
          {() =>
            all.length === 0 ? (
              <Empty action={fresh}>{t("fn.none")}</Empty>
            ) : (
              <table className="table">
                <thead>
                  <tr>
                    <th>{t("name")}</th>
                    <th className="hidden sm:table-cell">{t("runtime")}</th>
                    <th className="r hidden md:table-cell">{t("fn.size")}</th>
                    <th className="r">{t("home.waiting")}</th>
                    <th className="r">{t("state.Running")}</th>
                    <th className="r hidden lg:table-cell">{t("fn.versions")}</th>
                    <th className="r hidden lg:table-cell">{t("fn.code")}</th>
                    <th className="r hidden md:table-cell">{t("changed")}</th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((each, at) => {
                    const backlog = waiting.get(each.name);
                    return (
                      <tr key={each.name} data-on={at === cursor.at ? "" : undefined}>
                        <td>
                          <Link to={`/functions/${each.name}`} className="rowlink break-all">
                            {each.name}
                          </Link>
                          {each.paused && <span className="tag ml-2">{t("paused")}</span>}
                          {each.disabled != null && <span className="tag ml-2">{t("disabled")}</span>}
                        </td>
                        <td className="mono hidden text-soft sm:table-cell">{each.runtime}</td>
                        <td className="r hidden whitespace-nowrap text-soft md:table-cell">{`${figure(each.cpu, 2)} vCPU · ${count(each.memoryMb)} MB`}</td>
                        <td className="r">{compact((backlog?.waiting ?? 0) + (backlog?.delayed ?? 0))}</td>
                        <td className="r">{compact(backlog?.running ?? 0)}</td>
                        <td className="r hidden lg:table-cell">{each.versionNewest || "–"}</td>
                        <td className="r hidden text-soft lg:table-cell">{size(each.codeBytes)}</td>
                        <td className="r hidden text-soft md:table-cell">
                          <Ago at={each.modifiedAt} />
                        </td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Sheet>
    </>
  );
}
