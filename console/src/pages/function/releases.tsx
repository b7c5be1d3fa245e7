// Published versions, and aliases that share calls among them.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { fc } from "../../api/client";
import type { FcAlias, FcVersion } from "../../api/fc";
import { t } from "../../i18n";
import { client } from "../../state/query";
import { Ago, Button, Confirm, Dialog, Empty, Field, Loaded, Problem, Sheet } from "../../ui/kit";
import { toast } from "../../ui/toast";

export function Releases({ name }: { name: string }) {
  const path = `/functions/${encodeURIComponent(name)}`;
  const versions = useQuery({ queryKey: ["versions", name], queryFn: () => fc<{ versions: FcVersion[] }>("GET", `${path}/versions`, undefined, { limit: 100 }) });
  const aliases = useQuery({ queryKey: ["aliases", name], queryFn: () => fc<{ aliases: FcAlias[] }>("GET", `${path}/aliases`, undefined, { limit: 100 }) });
  const [publish, setPublish] = useState<string | null>(null);
  const [alias, setAlias] = useState<Partial<FcAlias> | null>(null);
  const [gone, setGone] = useState<{ what: "versions" | "aliases"; id: string } | null>(null);
  const again = () => Promise.all([client.invalidateQueries({ queryKey: ["versions", name] }), client.invalidateQueries({ queryKey: ["aliases", name] })]);
  const all = versions.data?.versions ?? [];
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={t("fn.versions")} actions={<Button icon="plus" need="write" onClick={() => setPublish("")}>{t("publish")}</Button>}>
        <Loaded query={versions}>
          {(data) =>
            data.versions.length === 0 ? (
              <Empty>{t("versions.none")}</Empty>
            ) : (
              <table className="table">
                <tbody>
                  {data.versions.map((version) => (
                    <tr key={version.versionId}>
                      <td className="num w-px font-semibold">{version.versionId}</td>
                      <td className="break-words">{version.description || <span className="text-soft">–</span>}</td>
                      <td className="r text-soft">
                        <Ago at={version.createdTime} />
                      </td>
                      <td className="w-px">
                        <Button kind="quiet" icon="close" need="write" aria-label={t("delete")} onClick={() => setGone({ what: "versions", id: version.versionId })} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Sheet>
      <Sheet title={t("aliases")} actions={<Button icon="plus" need="write" disabled={all.length === 0} onClick={() => setAlias({ versionId: all[0]?.versionId ?? "" })}>{t("alias.new")}</Button>}>
        <Loaded query={aliases}>
          {(data) =>
            data.aliases.length === 0 ? (
              <Empty>{t("aliases.none")}</Empty>
            ) : (
              <table className="table">
                <tbody>
                  {data.aliases.map((one) => (
                    <tr key={one.aliasName}>
                      <td className="font-semibold">{one.aliasName}</td>
                      <td>
                        <Shares alias={one} />
                      </td>
                      <td className="w-px whitespace-nowrap">
                        <Button kind="quiet" need="write" onClick={() => setAlias(one)}>
                          {t("edit")}
                        </Button>
                        <Button kind="quiet" icon="close" need="write" aria-label={t("delete")} onClick={() => setGone({ what: "aliases", id: one.aliasName })} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Sheet>
      <Confirm title={t("publish")} open={publish !== null} onClose={() => setPublish(null)} verb={t("publish")} text={<Field label={t("description")}>{(id) => <input id={id} className="field" value={publish ?? ""} onChange={(event) => setPublish(event.target.value)} />}</Field>} act={async () => { await fc("POST", `${path}/versions`, { description: publish ?? "" }); await again(); toast(t("versions.published")); }} />
      <Confirm title={t("delete")} text={t("release.delete", { id: gone?.id ?? "" })} bad verb={t("delete")} open={gone !== null} onClose={() => setGone(null)} act={async () => { await fc("DELETE", `${path}/${gone?.what}/${encodeURIComponent(gone?.id ?? "")}`); await again(); }} />
      {alias && <AliasForm path={path} alias={alias} versions={all.map((one) => one.versionId)} onClose={() => setAlias(null)} onDone={again} />}
    </div>
  );
}

/** One version, or two with their shares in percent. */
export function sharesOf(alias: Pick<FcAlias, "versionId" | "additionalVersionWeight">): Array<[string, number]> {
  const [canary] = Object.entries(alias.additionalVersionWeight ?? {});
  if (!canary) return [[alias.versionId, 100]];
  const share = Math.round(canary[1] * 100);
  return [
    [alias.versionId, 100 - share],
    [canary[0], share],
  ];
}

function Shares({ alias }: { alias: FcAlias }) {
  return (
    <span className="flex flex-wrap gap-1.5">
      {sharesOf(alias).map(([version, share]) => (
        <span key={version} className="tag num">
          {t("version.n", { n: version })} · {share} %
        </span>
      ))}
    </span>
  );
}

function AliasForm({ path, alias, versions, onClose, onDone }: { path: string; alias: Partial<FcAlias>; versions: string[]; onClose: () => void; onDone: () => Promise<unknown> }) {
  const isNew = !alias.aliasName;
  const before = sharesOf({ versionId: alias.versionId ?? "", additionalVersionWeight: alias.additionalVersionWeight ?? {} });
  const [name, setName] = useState(alias.aliasName ?? "");
  const [version, setVersion] = useState(alias.versionId ?? "");
  const [canary, setCanary] = useState(before[1]?.[0] ?? "");
  const [share, setShare] = useState(before[1]?.[1] ?? 10);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const body = { versionId: version, additionalVersionWeight: canary && canary !== version ? { [canary]: share / 100 } : {} };
      if (isNew) await fc("POST", `${path}/aliases`, { aliasName: name.trim(), ...body });
      else await fc("PUT", `${path}/aliases/${encodeURIComponent(name)}`, body);
      await onDone();
      onClose();
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={isNew ? t("alias.new") : name} open onClose={onClose} foot={<Button kind="main" busy={busy} disabled={!name.trim()} onClick={() => void send()}>{t("save")}</Button>}>
      <div className="grid gap-4 pt-2">
        {isNew && <Field label={t("name")}>{(id) => <input id={id} className="field mono" value={name} onChange={(event) => setName(event.target.value)} />}</Field>}
        <div className="grid grid-cols-2 gap-4">
          <Field label={t("alias.main")}>{(id) => <select id={id} className="field" value={version} onChange={(event) => setVersion(event.target.value)}>{versions.map((one) => <option key={one}>{one}</option>)}</select>}</Field>
          <Field label={t("alias.canary")}>{(id) => <select id={id} className="field" value={canary} onChange={(event) => setCanary(event.target.value)}><option value="">{t("none")}</option>{versions.filter((one) => one !== version).map((one) => <option key={one}>{one}</option>)}</select>}</Field>
        </div>
        {canary && canary !== version && (
          <Field label={t("alias.share", { canary, share, main: version, rest: 100 - share })}>{(id) => <input id={id} type="range" min={0} max={100} value={share} onChange={(event) => setShare(Number(event.target.value))} className="w-full accent-[var(--accent)]" />}</Field>
        )}
      </div>
      <Problem error={error} className="mt-3" />
    </Dialog>
  );
}
