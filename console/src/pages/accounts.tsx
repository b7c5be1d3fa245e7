// Accounts and their limits, keys, what was used, and who changed what.
import { useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { call } from "../api/client";
import type { Account, AccountLimits, KeyCreated } from "../api/generated";
import type { Usage } from "../api/items";
import { can, session } from "../api/session";
import { t, word } from "../i18n";
import { type ItemOf, reread, useCall, usePages, useWhole } from "../state/query";
import { count, figure, moment, size } from "../ui/format";
import { Ago, Button, Confirm, Copy, Dialog, Empty, Facts, Field, Head, Loaded, Meter, Problem, Sheet, Skeleton, Tabs } from "../ui/kit";
import { toast } from "../ui/toast";
import { download } from "../ui/viewer";

export function Accounts() {
  const { tab = "usage" } = useParams({ strict: false }) as { tab?: string };
  const tabs = [
    ...(can("listUsage") ? ["usage"] : []),
    ...(can("listKeys") ? ["keys"] : []),
    ...(can("getAccount") ? ["account"] : []),
    ...(can("listAccounts") ? ["all"] : []),
    ...(can("listAudit") ? ["audit"] : []),
  ];
  const on = tabs.includes(tab) ? tab : (tabs[0] ?? "");
  return (
    <>
      <Head title={t("nav.accounts")} sub={<span className="mono">{session()?.who.account}</span>} />
      <Tabs on={on} tabs={tabs.map((id) => ({ id, name: t(`accounts.${id}` as "accounts.usage"), to: `/accounts/${id}` }))} />
      {on === "" && <Empty>{t("role.nothing")}</Empty>}
      {on === "usage" && <Used />}
      {on === "keys" && <Keys />}
      {on === "account" && <Mine />}
      {on === "all" && <All />}
      {on === "audit" && <Audit />}
    </>
  );
}

const DAY_MS = 86_400_000;

function Used() {
  const [days, setDays] = useState(7);
  const [from] = useState(() => Date.now());
  const since = new Date(Math.floor(from / DAY_MS) * DAY_MS - (days - 1) * DAY_MS).toISOString();
  const sums = useCall("listUsage", { query: { from: since, window: "all", limit: 1_000 } }, { every: 10_000, keep: true });
  const daily = useCall("listUsage", { query: { from: since, window: "day", groupBy: "account", limit: 1_000 } }, { every: 10_000, keep: true });
  return (
    <div className="grid gap-4">
      <div className="flex gap-2">
        <select className="field" style={{ width: "auto" }} aria-label={t("usage.days")} value={days} onChange={(event) => setDays(Number(event.target.value))}>
          {[1, 7, 30, 90].map((n) => (
            <option key={n} value={n}>
              {t("usage.last", { n })}
            </option>
          ))}
        </select>
        <Button icon="download" onClick={() => void download(`/v1/usage?format=csv&window=day&from=${encodeURIComponent(since)}`, "usage.csv")}>
          CSV
        </Button>
      </div>
      <Sheet title={t("usage.perday")}>
        <Loaded query={daily}>{(page) => <Days rows={page.items} />}</Loaded>
      </Sheet>
      <Sheet title={t("usage.perfunction")}>
        <Loaded query={sums}>{(page) => <Sums rows={page.items} />}</Loaded>
      </Sheet>
    </div>
  );
}

function Days({ rows }: { rows: Usage[] }) {
  if (rows.length === 0) return <Empty>{t("usage.none")}</Empty>;
  const all = [...rows].sort((a, b) => a.start.localeCompare(b.start));
  const most = Math.max(...all.map((row) => row.units), 1e-9);
  return (
    <ol className="flex h-40 items-end gap-1.5 overflow-x-auto p-4">
      {all.map((row) => (
        <li key={row.start} className="flex h-full min-w-8 flex-1 flex-col justify-end gap-1 text-center" title={`${figure(row.units, 2)} CU`}>
          <span className="num text-[11px] text-soft">{figure(row.units, row.units < 10 ? 1 : 0)}</span>
          <span className="mx-auto w-full max-w-12 rounded-t-[3px] bg-accent" style={{ height: `${Math.max(2, (row.units / most) * 80)}px` }} />
          <span className="num text-[11px] text-soft">{row.start.slice(5, 10)}</span>
        </li>
      ))}
    </ol>
  );
}

function Sums({ rows }: { rows: Usage[] }) {
  if (rows.length === 0) return <Empty>{t("usage.none")}</Empty>;
  const all = [...rows].sort((a, b) => b.units - a.units);
  return (
    <div className="overflow-x-auto">
      <table className="table">
        <thead>
          <tr>
            <th>{t("function")}</th>
            <th className="r">{t("usage.invocations")}</th>
            <th className="r hidden sm:table-cell">vCPU·s</th>
            <th className="r hidden sm:table-cell">GB·s</th>
            <th className="r hidden md:table-cell">{t("usage.idle")}</th>
            <th className="r">{t("usage.units")}</th>
          </tr>
        </thead>
        <tbody>
          {all.map((row) => (
            <tr key={row.function}>
              <td className="font-medium">{row.function}</td>
              <td className="r">{count(row.invocations)}</td>
              <td className="r hidden sm:table-cell">{figure(row.vcpuSeconds)}</td>
              <td className="r hidden sm:table-cell">{figure(row.memoryGbSeconds)}</td>
              <td className="r hidden text-soft md:table-cell">{figure(row.idleSeconds)}</td>
              <td className="r font-semibold">{figure(row.units, 2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

type KeyItem = ItemOf<"listKeys">;

function Keys() {
  const query = useWhole("listKeys", { every: 10_000 });
  const [fresh, setFresh] = useState(false);
  const [made, setMade] = useState<KeyCreated>();
  const [asked, setAsked] = useState<{ act: "rotate" | "delete"; key: KeyItem } | null>(null);
  const own = session()?.who.keyId;
  const swap = async (key: KeyItem) => {
    try {
      await call("updateKey", { path: { key: key.id }, body: { disabled: !key.disabledAt } });
      await reread("listKeys");
    } catch (error) {
      toast((error as Error).message, "bad");
    }
  };
  return (
    <>
      <Sheet title={t("accounts.keys")} actions={<Button icon="plus" need="createKey" onClick={() => setFresh(true)}>{t("key.new")}</Button>}>
        <Loaded query={query}>
          {(page) => (
            <div className="overflow-x-auto">
              <table className="table">
                <thead>
                  <tr>
                    <th>{t("key.id")}</th>
                    <th>{t("role")}</th>
                    <th className="hidden sm:table-cell">{t("key.kind")}</th>
                    <th className="hidden md:table-cell">{t("key.scope")}</th>
                    <th className="r hidden md:table-cell">{t("expires")}</th>
                    <th className="r hidden sm:table-cell">{t("created")}</th>
                    <th className="w-px">
                      <span className="sr-only">{t("more")}</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {page.items.map((key) => (
                    <tr key={key.id}>
                      <td>
                        <span className="mono break-all">{key.id}</span>
                        {key.id === own && <span className="tag ml-2">{t("key.own")}</span>}
                        {key.disabledAt && <span className="tag ml-2">{t("disabled")}</span>}
                        {key.description && <span className="block text-soft">{key.description}</span>}
                      </td>
                      <td>{word("role", key.role)}</td>
                      <td className="hidden text-soft sm:table-cell">{word("kind", key.kind)}</td>
                      <td className="mono hidden text-soft md:table-cell">{(key.functions ?? []).join(", ") || t("all")}</td>
                      <td className="r hidden text-soft md:table-cell">{key.expiresAt ? <Ago at={key.expiresAt} /> : "–"}</td>
                      <td className="r hidden text-soft sm:table-cell">
                        <Ago at={key.createdAt} />
                      </td>
                      <td className="whitespace-nowrap">
                        {key.id !== own && (
                          <>
                            <Button kind="quiet" need="updateKey" onClick={() => void swap(key)}>
                              {key.disabledAt ? t("enable") : t("disable")}
                            </Button>
                            {key.kind !== "temporary" && <Button kind="quiet" icon="again" need="rotateKey" aria-label={t("key.rotate")} title={t("key.rotate")} onClick={() => setAsked({ act: "rotate", key })} />}
                            <Button kind="quiet" icon="close" need="deleteKey" aria-label={t("delete")} title={t("delete")} onClick={() => setAsked({ act: "delete", key })} />
                          </>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Loaded>
      </Sheet>
      {fresh && <NewKey onClose={() => setFresh(false)} onMade={setMade} />}
      <Confirm
        title={asked?.act === "rotate" ? t("key.rotate") : t("delete")}
        text={t(asked?.act === "rotate" ? "key.rotate.text" : "key.delete.text", { id: asked?.key.id ?? "" })}
        verb={asked?.act === "rotate" ? t("key.rotate") : t("delete")}
        bad
        open={asked !== null}
        onClose={() => setAsked(null)}
        act={async () => {
          const path = { key: asked?.key.id ?? "" };
          if (asked?.act === "rotate") setMade(await call("rotateKey", { path }));
          else await call("deleteKey", { path });
          await reread("listKeys");
        }}
      />
      <Dialog title={t("key.made")} open={made !== undefined} onClose={() => setMade(undefined)}>
        <p className="note note-warn my-2">{t("key.once")}</p>
        {made && (
          <Facts of={[[t("key.id"), <Copy key="i" text={made.id} />], made.secret ? [t("signin.secret"), <Copy key="s" text={made.secret} />] : null, made.token ? [t("signin.token"), <Copy key="t" text={made.token} />] : null]} />
        )}
      </Dialog>
    </>
  );
}

function NewKey({ onClose, onMade }: { onClose: () => void; onMade: (made: KeyCreated) => void }) {
  const [error, setError] = useState<unknown>();
  const [kind, setKind] = useState("permanent");
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    try {
      const functions = text("functions").split(",").map((one) => one.trim()).filter(Boolean);
      const made = await call("createKey", { body: { kind, role: text("role"), functions, description: text("description"), ...(kind === "token" && text("life") ? { expiresIn: text("life") } : {}) } });
      await reread("listKeys");
      onClose();
      onMade(made);
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <Dialog title={t("key.new")} open onClose={onClose}>
      <form onSubmit={submit} className="grid grid-cols-2 gap-4 pt-2">
        <Field label={t("key.kind")}>{(id) => <select id={id} className="field" value={kind} onChange={(event) => setKind(event.target.value)}><option value="permanent">{t("kind.permanent")}</option><option value="token">{t("kind.token")}</option></select>}</Field>
        <Field label={t("role")}>{(id) => <select id={id} name="role" className="field" defaultValue="developer">{["admin", "developer", "viewer", "invoker"].map((role) => <option key={role} value={role}>{word("role", role)}</option>)}</select>}</Field>
        <div className="col-span-2">
          <Field label={t("key.scope")} hint={t("key.scope.hint")}>{(id) => <input id={id} name="functions" className="field mono" placeholder="etl, img-*" />}</Field>
        </div>
        {kind === "token" && (
          <Field label={t("key.life")} hint={t("key.life.hint")}>
            {(id) => <input id={id} name="life" className="field" placeholder="30d" />}
          </Field>
        )}
        <div className="col-span-2">
          <Field label={t("description")}>{(id) => <input id={id} name="description" className="field" />}</Field>
        </div>
        <Problem error={error} className="col-span-2" />
        <div className="col-span-2 flex justify-end">
          <Button type="submit" kind="main">
            {t("key.make")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Mine() {
  const account = session()?.who.account ?? "";
  const query = useCall("getAccount", { path: { account } }, { every: 5_000 });
  return <Loaded query={query}>{(data) => <AccountView account={data} />}</Loaded>;
}

function AccountView({ account }: { account: Account }) {
  const { limits, usage } = account;
  const budget = limits.budget;
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={account.display || account.name}>
        <Facts of={[["id", <Copy key="i" text={account.id} />], [t("name"), account.name], [t("created"), <Ago key="c" at={account.createdAt} />], usage ? [t("nav.functions"), count(usage.functions)] : null, usage ? [t("account.storage"), `${size(usage.storageBytes)} (${t("fn.code")} ${size(usage.codeBytes)}, ${t("nav.tasks")} ${size(usage.taskBytes)})`] : null]} />
      </Sheet>
      <Sheet title={t("account.budget")}>
        <div className="p-4">
          {budget ? (
            <>
              <Meter value={usage?.budgetUnits ?? 0} of={budget.units} label={t("account.budget")} alarm />
              <p className="num mt-2">{t("of", { a: figure(usage?.budgetUnits ?? 0, 2), b: `${figure(budget.units)} CU / ${budget.period ?? "month"}` })}</p>
              {usage?.budgetRenewsAt && <p className="text-soft">{moment(usage.budgetRenewsAt)}</p>}
            </>
          ) : (
            <p className="text-soft">{t("account.nobudget")}</p>
          )}
        </div>
      </Sheet>
      <Sheet title={t("limits")} className="lg:col-span-2">
        <LimitsForm account={account} />
      </Sheet>
    </div>
  );
}

const LIMITS = ["instancesMax", "concurrencyMax", "weight", "tasksQueuedMax", "storageBytesMax", "functionsMax"] as const;

function LimitsForm({ account }: { account: Account }) {
  const [error, setError] = useState<unknown>();
  const dead = !can("updateAccount");
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const limits = { ...account.limits } as Record<string, unknown>;
    for (const name of LIMITS) {
      const text = String(form.get(name) ?? "");
      if (text !== String(account.limits[name] ?? "")) limits[name] = text === "" ? null : Number(text);
    }
    const units = String(form.get("units") ?? "");
    limits.budget = units === "" ? null : { units: Number(units), period: String(form.get("period")) };
    setError(undefined);
    try {
      await call("updateAccount", { path: { account: account.id }, body: { limits: limits as AccountLimits } });
      await reread("getAccount", "listAccounts");
      toast(t("saved"));
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <form onSubmit={submit} className="p-4">
      <fieldset disabled={dead} className="grid grid-cols-2 gap-4 md:grid-cols-4">
        {LIMITS.map((name) => (
          <Field key={name} label={t(`limit.${name}`)}>{(id) => <input id={id} name={name} type="number" min={0} className="field num" placeholder={t("limits.none")} defaultValue={account.limits[name] ?? ""} />}</Field>
        ))}
        <Field label={t("account.budget.units")}>{(id) => <input id={id} name="units" type="number" min={0} step="any" className="field num" placeholder={t("limits.none")} defaultValue={account.limits.budget?.units ?? ""} />}</Field>
        <Field label={t("account.budget.period")}>{(id) => <select id={id} name="period" className="field" defaultValue={account.limits.budget?.period ?? "month"}><option value="day">{t("day")}</option><option value="month">{t("month")}</option></select>}</Field>
      </fieldset>
      <Problem error={error} className="mt-3" />
      <div className="mt-4 flex justify-end">
        <Button type="submit" need="updateAccount">
          {t("save")}
        </Button>
      </div>
    </form>
  );
}

function All() {
  const query = useWhole("listAccounts", { every: 10_000 });
  const [name, setName] = useState<string | null>(null);
  const [shown, setShown] = useState<Account | null>(null);
  const swap = async (account: Account) => {
    try {
      await call("updateAccount", { path: { account: account.id }, body: { disabled: !account.disabledAt } });
      await reread("listAccounts");
    } catch (error) {
      toast((error as Error).message, "bad");
    }
  };
  return (
    <>
      <Sheet title={t("accounts.all")} actions={<Button icon="plus" need="createAccount" onClick={() => setName("")}>{t("account.new")}</Button>}>
        <Loaded query={query}>
          {(page) => (
            <table className="table">
              <tbody>
                {page.items.map((account) => (
                  <tr key={account.id}>
                    <td>
                      <button type="button" className="rowlink" onClick={() => setShown(account as Account)}>
                        {account.display || account.name}
                      </button>
                      {account.disabledAt && <span className="tag ml-2">{t("disabled")}</span>}
                    </td>
                    <td className="mono text-soft">{account.id}</td>
                    <td className="r hidden text-soft sm:table-cell">
                      <Ago at={account.createdAt} />
                    </td>
                    <td className="w-px">
                      {account.id !== session()?.who.account && (
                        <Button kind="quiet" need="updateAccount" onClick={() => void swap(account as Account)}>
                          {account.disabledAt ? t("enable") : t("disable")}
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Loaded>
      </Sheet>
      <Confirm title={t("account.new")} verb={t("account.make")} open={name !== null} onClose={() => setName(null)} text={<Field label={t("name")}>{(id) => <input id={id} className="field mono" value={name ?? ""} onChange={(event) => setName(event.target.value)} />}</Field>} act={async () => { await call("createAccount", { body: { name: (name ?? "").trim() } }); await reread("listAccounts"); }} />
      <Dialog title={shown?.name ?? ""} open={shown !== null} onClose={() => setShown(null)} wide={860}>
        {shown && <LimitsForm account={shown} />}
      </Dialog>
    </>
  );
}

function Audit() {
  const found = usePages("listAudit", {}, { every: 5_000, limit: 100 });
  if (found.error && !found.data) return <Problem error={found.error} />;
  if (!found.data) return <Skeleton rows={8} />;
  if (found.items.length === 0) return <Empty>{t("audit.none")}</Empty>;
  return (
    <>
      <Sheet>
        <div className="overflow-x-auto">
          <table className="table">
            <thead>
              <tr>
                <th>{t("audit.when")}</th>
                <th>{t("audit.action")}</th>
                <th>{t("audit.resource")}</th>
                <th className="hidden md:table-cell">{t("audit.detail")}</th>
                <th className="hidden sm:table-cell">{t("audit.key")}</th>
              </tr>
            </thead>
            <tbody>
              {found.items.map((entry, at) => (
                <tr key={`${entry.at}-${at}`}>
                  <td className="text-soft">
                    <Ago at={entry.at} />
                  </td>
                  <td className="font-medium">{entry.action}</td>
                  <td className="mono break-all">{entry.resource}</td>
                  <td className="hidden text-soft md:table-cell">{entry.detail}</td>
                  <td className="mono hidden text-soft sm:table-cell">{entry.keyId}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Sheet>
      {found.hasNextPage && (
        <Button className="mt-3" busy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {t("older")}
        </Button>
      )}
    </>
  );
}
