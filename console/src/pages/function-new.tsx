// A new function: from a template, or from a zip of one's own.
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { fc } from "../api/client";
import { t } from "../i18n";
import { TEMPLATES, base64, pack } from "../state/code";
import { reread, useCall } from "../state/query";
import { Button, Field, Head, Problem, Sheet } from "../ui/kit";

export function FunctionNew() {
  const navigate = useNavigate();
  const runtimes = useCall("listRuntimes");
  const [from, setFrom] = useState<string>("python");
  const [name, setName] = useState("");
  const [zip, setZip] = useState<File>();
  const [image, setImage] = useState("");
  const template = TEMPLATES.find((one) => one.id === from);
  const [runtime, setRuntime] = useState("python3.10");
  const [handler, setHandler] = useState("index.handler");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const pick = (id: string) => {
    setFrom(id);
    const chosen = TEMPLATES.find((one) => one.id === id);
    if (chosen) {
      setRuntime(chosen.runtime);
      setHandler(chosen.handler);
    }
  };
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const number = (field: string) => Number(form.get(field));
    setBusy(true);
    setError(undefined);
    try {
      const sizes = { cpu: number("cpu"), memorySize: number("memory"), timeout: number("timeout"), diskSize: 512 };
      const isImage = from === "image";
      const code = isImage ? undefined : base64(template ? pack(template.files()) : new Uint8Array(await (zip as File).arrayBuffer()));
      await fc("POST", "/functions", {
        functionName: name.trim(),
        runtime: isImage ? "custom-container" : runtime,
        handler,
        ...sizes,
        ...(isImage ? { customContainerConfig: { image: image.trim() } } : { code: { zipFile: code } }),
      });
      await reread("listFunctions");
      void navigate({ to: `/functions/${encodeURIComponent(name.trim())}/${isImage ? "test" : "code"}` });
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  const ways = [...TEMPLATES.map((one) => one.id as string), "zip", "image"];
  return (
    <div className="mx-auto max-w-2xl">
      <Head title={t("fn.new")} back={{ to: "/functions", name: t("nav.functions") }} />
      <form onSubmit={submit} className="grid gap-4">
        <Sheet title={t("fn.from")}>
          <div role="radiogroup" aria-label={t("fn.from")} className="grid grid-cols-2 gap-2 p-3 sm:grid-cols-5">
            {ways.map((id) => (
              <button key={id} type="button" role="radio" aria-checked={from === id} onClick={() => pick(id)} className={`rounded-md border p-2.5 text-left ${from === id ? "border-accent bg-[var(--accent-wash)]" : "border-rule hover:bg-well"}`}>
                <b className="block font-semibold">{t(`fn.from.${id}` as "fn.from.zip")}</b>
                <span className="text-[12px] text-soft">{t(`fn.from.${id}.about` as "fn.from.zip.about")}</span>
              </button>
            ))}
          </div>
        </Sheet>
        <Sheet>
          <div className="grid grid-cols-2 gap-4 p-4">
            <div className="col-span-2">
              <Field label={t("name")}>{(id) => <input id={id} className="field mono" required autoFocus pattern="[A-Za-z_][A-Za-z0-9_\-]{0,63}" title={t("fn.name.rule")} value={name} onChange={(event) => setName(event.target.value)} />}</Field>
            </div>
            {from === "zip" && (
              <div className="col-span-2">
                <Field label={t("fn.zip")}>{(id) => <input id={id} type="file" accept=".zip,application/zip" required className="field" onChange={(event) => setZip(event.target.files?.[0])} />}</Field>
              </div>
            )}
            {from === "image" ? (
              <div className="col-span-2">
                <Field label={t("fn.image")}>{(id) => <input id={id} className="field mono" required placeholder="registry.example.com/app:v1" value={image} onChange={(event) => setImage(event.target.value)} />}</Field>
              </div>
            ) : (
              <>
                <Field label={t("runtime")}>
                  {(id) => (
                    <select id={id} className="field" value={runtime} onChange={(event) => setRuntime(event.target.value)}>
                      {(runtimes.data?.items ?? [{ name: runtime }]).filter((one) => one.name !== "custom-container").map((one) => (
                        <option key={one.name}>{one.name}</option>
                      ))}
                    </select>
                  )}
                </Field>
                <Field label={t("fn.handler")}>{(id) => <input id={id} className="field mono" required value={handler} onChange={(event) => setHandler(event.target.value)} />}</Field>
              </>
            )}
            <Field label="vCPU">{(id) => <input id={id} name="cpu" className="field num" type="number" min={0.05} max={64} step={0.05} defaultValue={0.5} required />}</Field>
            <Field label={`${t("memory")} (MB)`}>{(id) => <input id={id} name="memory" className="field num" type="number" min={64} max={262_144} step={64} defaultValue={512} required />}</Field>
            <Field label={`${t("fn.timeout")} (s)`}>{(id) => <input id={id} name="timeout" className="field num" type="number" min={1} max={86_400} defaultValue={60} required />}</Field>
          </div>
        </Sheet>
        <Problem error={error} />
        <div className="flex justify-end">
          <Button type="submit" kind="main" need="write" busy={busy}>
            {t("fn.create")}
          </Button>
        </div>
      </form>
    </div>
  );
}
