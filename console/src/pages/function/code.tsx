// The code of a function, file by file. What is edited is deployed as a whole.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { bytes, fc } from "../../api/client";
import type { FcFunction } from "../../api/fc";
import { can } from "../../api/session";
import { t } from "../../i18n";
import { type CodeFile, base64, pack, textOf, unpack, withText } from "../../state/code";
import { client } from "../../state/query";
import { Editor, modeOf } from "../../ui/editor";
import { size } from "../../ui/format";
import { Icon } from "../../ui/icons";
import { Button, Dialog, Empty, Field, Loaded, Problem } from "../../ui/kit";
import { toast } from "../../ui/toast";
import { save } from "../../ui/viewer";

/** Larger packages are downloaded, not opened here. */
const OPENED_MAX = 24 << 20;

async function fetched(name: string): Promise<CodeFile[] | "large"> {
  const { url } = await fc<{ url: string }>("GET", `/functions/${encodeURIComponent(name)}/code`);
  // The link leads to this server, under whatever name it knows itself; here it is asked under ours.
  const link = new URL(url);
  const { data, isWhole } = await bytes(link.pathname + link.search, OPENED_MAX);
  return isWhole ? unpack(data) : "large";
}

export function Code({ it }: { it: FcFunction }) {
  const query = useQuery({ queryKey: ["code", it.functionName, it.codeChecksum], queryFn: () => fetched(it.functionName), staleTime: Number.POSITIVE_INFINITY, enabled: it.codeSize > 0 });
  if (it.codeSize === 0) return <Empty>{t("code.none")}</Empty>;
  return (
    <Loaded query={query} rows={10}>
      {(files) => (files === "large" ? <Empty>{t("code.large")}</Empty> : <Files key={it.codeChecksum} it={it} before={files} />)}
    </Loaded>
  );
}

function Files({ it, before }: { it: FcFunction; before: CodeFile[] }) {
  const [files, setFiles] = useState(before);
  const [at, setAt] = useState(() => Math.max(0, before.findIndex((file) => textOf(file) !== null)));
  const [name, setName] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const shown = files[at];
  const text = useMemo(() => (shown ? textOf(shown) : null), [shown]);
  const isChanged = files !== before;
  const edit = (next: string) => setFiles((all) => all.map((file, index) => (index === at && textOf(file) !== next ? withText(file, next) : file)));
  const add = () => {
    const made = (name ?? "").trim().replace(/^\/+/, "");
    setName(null);
    if (!made) return;
    const there = files.findIndex((file) => file.name === made);
    if (there >= 0) return setAt(there);
    setFiles([...files, { name: made, data: new Uint8Array(), mode: 0o644 }]);
    setAt(files.length);
  };
  const remove = (index: number) => {
    setFiles(files.filter((_, each) => each !== index));
    setAt(0);
  };
  const deploy = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const next = await fc<FcFunction>("PUT", `/functions/${encodeURIComponent(it.functionName)}`, { code: { zipFile: base64(pack(files)) } });
      client.setQueryData(["code", it.functionName, next.codeChecksum], files);
      client.setQueryData(["fc", it.functionName], next);
      toast(t("code.deployed"));
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div className="mb-3 flex flex-wrap items-center gap-2">
        <Button icon="plus" need="write" onClick={() => setName("")}>
          {t("code.file")}
        </Button>
        <label className={`btn ${can("write") ? "cursor-pointer" : "hidden"}`}>
          <Icon name="file" />
          {t("code.zip")}
          <input type="file" accept=".zip,application/zip" className="sr-only" onChange={(event) => void open(event.target.files?.[0], (all) => { setFiles(all); setAt(0); }, setError)} />
        </label>
        <Button icon="download" onClick={() => save(new Blob([pack(files) as BlobPart]), `${it.functionName}.zip`)}>
          {t("download")}
        </Button>
        <span className="flex-1" />
        {isChanged && (
          <Button onClick={() => { setFiles(before); setAt(0); }}>{t("discard")}</Button>
        )}
        <Button kind="main" need="write" disabled={!isChanged} busy={busy} onClick={() => void deploy()}>
          {t("code.deploy")}
        </Button>
      </div>
      <Problem error={error} className="mb-3" />
      <div className="grid gap-3 md:grid-cols-[210px_minmax(0,1fr)]">
        <ul className="sheet max-h-40 overflow-auto p-1.5 md:max-h-[62vh]" aria-label={t("code.files")}>
          {files.map((file, index) => (
            <li key={file.name} className="group flex items-center">
              <button type="button" aria-current={index === at} onClick={() => setAt(index)} className={`mono flex min-w-0 flex-1 items-center gap-2 rounded px-2 py-1 text-left ${index === at ? "bg-well" : "hover:bg-well"}`}>
                <Icon name="file" size={13} className="text-soft" />
                <span className="min-w-0 flex-1 truncate" title={file.name}>
                  {file.name}
                </span>
                {file !== before.find((one) => one.name === file.name) && <span className="text-accent" title={t("code.changed")}>●</span>}
              </button>
              {can("write") && (
                <button type="button" aria-label={t("code.remove", { name: file.name })} onClick={() => remove(index)} className="rounded p-1 text-soft opacity-0 group-hover:opacity-100 hover:text-bad focus-visible:opacity-100">
                  <Icon name="close" size={12} />
                </button>
              )}
            </li>
          ))}
        </ul>
        {shown && text !== null ? (
          <Editor key={shown.name} value={text} onChange={edit} mode={modeOf(shown.name)} label={shown.name} readOnly={!can("write")} className="h-[62vh]" />
        ) : (
          <div className="sheet">
            <Empty>{shown ? t("code.bytes", { size: size(shown.data.length) }) : t("code.none")}</Empty>
          </div>
        )}
      </div>
      <Dialog title={t("code.file")} open={name !== null} onClose={() => setName(null)} foot={<Button kind="main" onClick={add}>{t("add")}</Button>}>
        <Field label={t("code.name")}>{(id) => <input id={id} className="field mono" placeholder="lib/part.py" value={name ?? ""} onChange={(event) => setName(event.target.value)} onKeyDown={(event) => event.key === "Enter" && add()} />}</Field>
      </Dialog>
    </>
  );
}

async function open(zip: File | undefined, done: (files: CodeFile[]) => void, failed: (error: unknown) => void): Promise<void> {
  if (!zip) return;
  try {
    done(unpack(new Uint8Array(await zip.arrayBuffer())));
  } catch {
    failed(new Error(t("code.badzip")));
  }
}
