// How the tasks of a function are treated: task mode and destinations, retries, limits, kept instances.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { ApiError, call, fc } from "../../api/client";
import type { FcAsyncConfig, FcScaling } from "../../api/fc";
import type { FunctionLimits, RetryPolicy } from "../../api/generated";
import { can } from "../../api/session";
import { t } from "../../i18n";
import { client, reread, useCall } from "../../state/query";
import { seconds } from "../../ui/format";
import { Button, Field, Loaded, Problem, Sheet } from "../../ui/kit";
import { toast } from "../../ui/toast";

/** What is not set yet is not there. */
async function orNothing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export function Behaviour({ name }: { name: string }) {
  const path = `/functions/${encodeURIComponent(name)}`;
  const async_ = useQuery({ queryKey: ["async", name], queryFn: () => orNothing(fc<FcAsyncConfig>("GET", `${path}/async-invoke-config`)) });
  const scaling = useQuery({ queryKey: ["scaling", name], queryFn: () => orNothing(fc<FcScaling>("GET", `${path}/scaling-config`)) });
  const reserved = useQuery({ queryKey: ["reserved", name], queryFn: () => orNothing(fc<{ reservedConcurrency: number }>("GET", `${path}/concurrency`)) });
  const retry = useCall("getRetryPolicy", { path: { function: name } });
  const limits = useCall("getFunctionLimits", { path: { function: name } });
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={t("async")}>
        <Loaded query={async_ as { data: FcAsyncConfig | null | undefined; error: unknown }}>{(data) => <Async path={path} name={name} data={data} />}</Loaded>
      </Sheet>
      <Sheet title={t("retrypolicy")}>
        <Loaded query={retry}>{(data) => <Retry name={name} data={data} />}</Loaded>
      </Sheet>
      <Sheet title={t("limits")}>
        <Loaded query={limits}>{(data) => <Limits name={name} data={data} />}</Loaded>
      </Sheet>
      <Sheet title={t("scaling")}>
        <Loaded query={{ data: scaling.data !== undefined && reserved.data !== undefined ? { scaling: scaling.data, reserved: reserved.data } : undefined, error: scaling.error ?? reserved.error }}>
          {(data) => <Scaling path={path} name={name} scaling={data.scaling} reserved={data.reserved?.reservedConcurrency ?? null} />}
        </Loaded>
      </Sheet>
    </div>
  );
}

/** A form that sends, says what went wrong, and is dead for who may not. */
function Form({ children, save }: { children: ReactNode; save: (form: FormData) => Promise<unknown> }) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setError(undefined);
    try {
      await save(form);
      toast(t("saved"));
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={submit} className="p-4">
      <fieldset disabled={!can("write")} className="grid grid-cols-2 gap-4">
        {children}
      </fieldset>
      <Problem error={error} className="mt-3" />
      <div className="mt-4 flex justify-end">
        <Button type="submit" need="write" busy={busy}>
          {t("save")}
        </Button>
      </div>
    </form>
  );
}

function NumberField({ label, name, value, hint, min = 0 }: { label: string; name: string; value: number | null | undefined; hint?: string; min?: number }) {
  return <Field label={label} hint={hint}>{(id) => <input id={id} name={name} type="number" min={min} step="any" className="field num" defaultValue={value ?? ""} />}</Field>;
}

const number = (form: FormData, name: string) => (form.get(name) === "" || form.get(name) === null ? null : Number(form.get(name)));

function Async({ path, name, data }: { path: string; name: string; data: FcAsyncConfig | null }) {
  const save = async (form: FormData) => {
    const destination = (field: string) => {
      const text = String(form.get(field) ?? "").trim();
      return text ? { destination: text } : undefined;
    };
    await fc("PUT", `${path}/async-invoke-config`, {
      asyncTask: form.get("asyncTask") !== null,
      maxAsyncRetryAttempts: number(form, "retries") ?? 3,
      maxAsyncEventAgeInSeconds: number(form, "age") ?? 86_400,
      destinationConfig: { onSuccess: destination("onSuccess"), onFailure: destination("onFailure") },
    });
    await client.invalidateQueries({ queryKey: ["async", name] });
  };
  return (
    <Form save={save}>
      <label className="col-span-2 flex items-center gap-2">
        <input type="checkbox" name="asyncTask" defaultChecked={data?.asyncTask ?? false} className="h-4 w-4 accent-[var(--accent)]" />
        {t("async.taskmode")}
      </label>
      <NumberField label={t("async.retries")} name="retries" value={data?.maxAsyncRetryAttempts ?? 3} />
      <NumberField label={t("async.age")} name="age" value={data?.maxAsyncEventAgeInSeconds ?? 86_400} min={1} />
      <div className="col-span-2">
        <Field label={t("async.success")}>{(id) => <input id={id} name="onSuccess" className="field mono" placeholder="acs:fc:::functions/NAME" defaultValue={data?.destinationConfig?.onSuccess?.destination ?? ""} />}</Field>
      </div>
      <div className="col-span-2">
        <Field label={t("async.failure")}>{(id) => <input id={id} name="onFailure" className="field mono" placeholder="acs:fc:::functions/NAME" defaultValue={data?.destinationConfig?.onFailure?.destination ?? ""} />}</Field>
      </div>
    </Form>
  );
}

function Retry({ name, data }: { name: string; data: RetryPolicy }) {
  const save = async (form: FormData) => {
    const body: RetryPolicy = {};
    const retries = number(form, "retries");
    const backoff = number(form, "backoff");
    const cap = number(form, "cap");
    if (retries !== null) body.retries = retries;
    if (backoff !== null) body.backoff = backoff;
    if (cap !== null) body.backoffCap = cap;
    body.finalErrors = String(form.get("final") ?? "").split(",").map((one) => one.trim()).filter(Boolean);
    await call("putRetryPolicy", { path: { function: name }, body });
    await reread("getRetryPolicy");
  };
  return (
    <Form save={save}>
      <NumberField label={t("retry.count")} name="retries" value={data.retries} />
      <NumberField label={t("retry.backoff")} name="backoff" value={data.backoff == null ? null : seconds(data.backoff)} />
      <NumberField label={t("retry.cap")} name="cap" value={data.backoffCap == null ? null : seconds(data.backoffCap)} />
      <Field label={t("retry.final")} hint={t("retry.final.hint")}>{(id) => <input id={id} name="final" className="field mono" defaultValue={((data.finalErrors as string[] | null) ?? []).join(", ")} />}</Field>
    </Form>
  );
}

function Limits({ name, data }: { name: string; data: FunctionLimits }) {
  const save = async (form: FormData) => {
    const rate = number(form, "rate");
    const body = { ...data, concurrencyMax: number(form, "concurrency"), weight: number(form, "weight"), keyConcurrencyMax: number(form, "keyConcurrency"), rate: rate === null ? null : { ...data.rate, perSecond: rate }, strictStart: form.get("strict") !== null } as FunctionLimits;
    await call("putFunctionLimits", { path: { function: name }, body });
    await reread("getFunctionLimits", "listFunctions");
  };
  return (
    <Form save={save}>
      <NumberField label={t("limits.concurrency")} name="concurrency" value={data.concurrencyMax} hint={t("limits.empty")} />
      <NumberField label={t("limits.rate")} name="rate" value={data.rate?.perSecond} hint={t("limits.empty")} />
      <NumberField label={t("limits.weight")} name="weight" value={data.weight} min={1} />
      <NumberField label={t("limits.key")} name="keyConcurrency" value={data.keyConcurrencyMax} hint={t("limits.empty")} />
      <label className="col-span-2 flex items-center gap-2">
        <input type="checkbox" name="strict" defaultChecked={data.strictStart ?? false} className="h-4 w-4 accent-[var(--accent)]" />
        {t("limits.strict")}
      </label>
    </Form>
  );
}

function Scaling({ path, name, scaling, reserved }: { path: string; name: string; scaling: FcScaling | null; reserved: number | null }) {
  const save = async (form: FormData) => {
    const min = number(form, "min") ?? 0;
    if (min !== (scaling?.minInstances ?? 0)) {
      if (min > 0) await fc("PUT", `${path}/scaling-config`, { minInstances: min }, { qualifier: "LATEST" });
      else await fc("DELETE", `${path}/scaling-config`, undefined, { qualifier: "LATEST" });
    }
    const next = number(form, "reserved");
    if (next !== reserved) {
      if (next === null) await fc("DELETE", `${path}/concurrency`);
      else await fc("PUT", `${path}/concurrency`, { reservedConcurrency: next });
    }
    await Promise.all([client.invalidateQueries({ queryKey: ["scaling", name] }), client.invalidateQueries({ queryKey: ["reserved", name] })]);
  };
  return (
    <Form save={save}>
      <NumberField label={t("scaling.min")} name="min" value={scaling?.minInstances ?? 0} />
      <NumberField label={t("scaling.reserved")} name="reserved" value={reserved} hint={t("limits.empty")} />
      {scaling && (
        <p className="col-span-2 text-soft">
          {t("scaling.now", { current: scaling.currentInstances ?? 0, target: scaling.targetInstances ?? 0 })}
          {scaling.currentError && <span className="block text-bad">{scaling.currentError}</span>}
        </p>
      )}
    </Form>
  );
}
