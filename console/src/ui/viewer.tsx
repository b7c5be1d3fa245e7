// Payloads and results. What is in them was written by others: it is shown as text, never as markup, at most so
// much of it, and bytes that are no text are shown as bytes.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { bytes, send } from "../api/client";
import { t } from "../i18n";
import { size } from "./format";
import { Icon } from "./icons";
import { Button, Problem, Skeleton } from "./kit";
import { toast } from "./toast";

/** What is fetched of a large one. */
const FETCHED_MAX = 1 << 18;
/** What is shown as bytes. */
const HEX_MAX = 1 << 12;
/** A page should stay quick: more than this is shown plain. */
const PRETTY_MAX = 1 << 17;

export type Shown = { kind: "empty" } | { kind: "json"; text: string } | { kind: "text"; text: string } | { kind: "bytes"; text: string };

/** What bytes are, and how they are written down. */
export function shown(data: Uint8Array, isWhole: boolean): Shown {
  if (data.length === 0) return { kind: "empty" };
  let text: string;
  try {
    // A cut may go through a character; what is before it is text all the same.
    text = new TextDecoder("utf-8", { fatal: true }).decode(data, { stream: !isWhole });
  } catch {
    return { kind: "bytes", text: hex(data) };
  }
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text)) return { kind: "bytes", text: hex(data) };
  if (isWhole && text.length <= PRETTY_MAX && /^\s*[[{"\d\-tfn]/.test(text)) {
    try {
      return { kind: "json", text: JSON.stringify(JSON.parse(text), null, 2) };
    } catch {
      // It only looked like JSON.
    }
  }
  return { kind: "text", text };
}

export function hex(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(data.length, HEX_MAX); at += 16) {
    const row = data.subarray(at, at + 16);
    const digits = Array.from(row, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}

/** A file of what an operation answers. */
export async function download(path: string, name: string): Promise<void> {
  try {
    const blob = await (await send(path, { headers: { accept: "*/*" } })).blob();
    save(new Blob([blob], { type: "application/octet-stream" }), name);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), "bad");
  }
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replaceAll(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function Content({ value, isWhole, total, max }: { value: Uint8Array; isWhole: boolean; total: number; max?: string }) {
  const [isPlain, setPlain] = useState(false);
  const found = useMemo(() => shown(value, isWhole), [value, isWhole]);
  if (found.kind === "empty") return <p className="p-4 text-soft">{t("viewer.empty")}</p>;
  const plain = found.kind === "json" && isPlain ? new TextDecoder().decode(value) : found.text;
  const isCut = !isWhole || (found.kind === "bytes" && value.length > HEX_MAX);
  return (
    <div data-testid="content" data-kind={found.kind}>
      <div className="flex items-center gap-2 px-4 pt-2.5 text-soft">
        <span className="tag">{t(`viewer.${found.kind}`)}</span>
        <span className="num">{size(total)}</span>
        {found.kind === "json" && (
          <button type="button" className="link" onClick={() => setPlain(!isPlain)}>
            {isPlain ? t("viewer.pretty") : t("viewer.plain")}
          </button>
        )}
        {isCut && <span>{t("viewer.cut")}</span>}
      </div>
      <pre tabIndex={0} className={`overflow-auto px-4 py-3 ${max ?? "max-h-96"} ${found.kind === "bytes" ? "hex" : "whitespace-pre-wrap [overflow-wrap:anywhere]"}`}>
        {plain}
      </pre>
    </div>
  );
}

/** What an operation answers, looked at. */
export function Remote({ path, name, total, keyed }: { path: string; name: string; total: number; keyed: string }) {
  const query = useQuery({ queryKey: ["bytes", path, keyed], queryFn: () => bytes(path, FETCHED_MAX), enabled: total > 0, staleTime: Number.POSITIVE_INFINITY });
  if (total === 0) return <p className="p-4 text-soft">{t("viewer.empty")}</p>;
  if (query.error) return <Problem error={query.error} className="m-3" />;
  if (!query.data) return <Skeleton rows={3} />;
  return (
    <div className="relative">
      <Content value={query.data.data} isWhole={query.data.isWhole} total={total} />
      <div className="absolute top-1.5 right-2 flex gap-1">
        <Button kind="quiet" icon="copy" aria-label={t("copy")} onClick={() => copy(query.data.data)} />
        <Button kind="quiet" icon="download" aria-label={t("download")} onClick={() => void download(path, name)} />
      </div>
    </div>
  );
}

async function copy(data: Uint8Array): Promise<void> {
  try {
    await navigator.clipboard.writeText(new TextDecoder().decode(data));
    toast(t("copied"));
  } catch {
    toast(t("copied.not"), "bad");
  }
}

export function Download({ path, name }: { path: string; name: string }) {
  return (
    <button type="button" className="link inline-flex items-center gap-1" onClick={() => void download(path, name)}>
      <Icon name="download" size={13} />
      {t("download")}
    </button>
  );
}
