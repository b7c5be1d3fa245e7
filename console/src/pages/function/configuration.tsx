// How a function is configured. Only what was changed is sent.
import { type FormEvent, useState } from "react";
import { fc } from "../../api/client";
import type { FcFunction } from "../../api/fc";
import { can } from "../../api/session";
import { t } from "../../i18n";
import { client, reread } from "../../state/query";
import { Button, Field, Problem, Sheet } from "../../ui/kit";
import { toast } from "../../ui/toast";

/** `NAME=value` lines as the API takes them. */
export function environment(text: string): Record<string, string> {
  const pairs = text.split("\n").filter((line) => line.trim() && !line.trim().startsWith("#"));
  return Object.fromEntries(
    pairs.map((line) => {
      const at = line.indexOf("=");
      if (at <= 0) throw new Error(t("conf.env.bad", { line }));
      return [line.slice(0, at).trim(), line.slice(at + 1)];
    }),
  );
}

export function Configuration({ it }: { it: FcFunction }) {
  const before = Object.entries(it.environmentVariables ?? {}).map(([name, value]) => `${name}=${value}`).join("\n");
  const [env, setEnv] = useState(before);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const dead = !can("write");
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setError(undefined);
    try {
      const change: Record<string, unknown> = {};
      const numbers = { cpu: it.cpu, memorySize: it.memorySize, diskSize: it.diskSize, timeout: it.timeout, instanceConcurrency: it.instanceConcurrency, idleTimeout: it.idleTimeout };
      for (const [name, old] of Object.entries(numbers)) {
        const next = Number(form.get(name));
        if (form.get(name) !== null && form.get(name) !== "" && next !== old) change[name] = next;
      }
      for (const name of ["description", "handler"] as const) {
        const next = String(form.get(name) ?? "");
        if (next !== (it[name] ?? "")) change[name] = next;
      }
      const internet = form.get("internetAccess") !== null;
      if (internet !== (it.internetAccess ?? false)) change.internetAccess = internet;
      if (env !== before) change.environmentVariables = environment(env);
      const next = await fc<FcFunction>("PUT", `/functions/${encodeURIComponent(it.functionName)}`, change);
      client.setQueryData(["fc", it.functionName], next);
      await reread("listFunctions", "fc");
      toast(t("saved"));
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  const number = (name: keyof FcFunction, label: string, rest: Record<string, number> = {}) => <Field label={label}>{(id) => <input id={id} name={name} type="number" className="field num" defaultValue={it[name] as number} disabled={dead} {...rest} />}</Field>;
  return (
    <form onSubmit={submit} className="grid max-w-4xl gap-4">
      <Sheet>
        <div className="grid grid-cols-2 gap-4 p-4 md:grid-cols-3">
          <div className="col-span-2 md:col-span-3">
            <Field label={t("description")}>{(id) => <input id={id} name="description" className="field" defaultValue={it.description ?? ""} disabled={dead} />}</Field>
          </div>
          <Field label={t("fn.handler")}>{(id) => <input id={id} name="handler" className="field mono" defaultValue={it.handler} disabled={dead} />}</Field>
          {number("cpu", "vCPU", { min: 0.05, step: 0.05 })}
          {number("memorySize", `${t("memory")} (MB)`, { min: 64, step: 1 })}
          {number("diskSize", `${t("disk")} (MB)`, { min: 512 })}
          {number("timeout", `${t("fn.timeout")} (s)`, { min: 1 })}
          {number("instanceConcurrency", t("fn.concurrency"), { min: 1 })}
          {it.idleTimeout !== undefined && number("idleTimeout", `${t("fn.idle")} (s)`, { min: 0 })}
          <label className="flex items-center gap-2 self-end pb-1.5">
            <input type="checkbox" name="internetAccess" defaultChecked={it.internetAccess ?? false} disabled={dead} className="h-4 w-4 accent-[var(--accent)]" />
            {t("fn.internet")}
          </label>
        </div>
      </Sheet>
      <Sheet title={t("conf.env")}>
        <div className="p-4">
          <textarea aria-label={t("conf.env")} rows={6} className="field mono" placeholder="NAME=value" spellCheck={false} value={env} onChange={(event) => setEnv(event.target.value)} disabled={dead} />
          <p className="mt-1 text-[12px] text-soft">{t("conf.env.hint")}</p>
        </div>
      </Sheet>
      <Problem error={error} />
      <div className="flex justify-end">
        <Button type="submit" kind="main" need="write" busy={busy}>
          {t("save")}
        </Button>
      </div>
    </form>
  );
}
