// How figures, times and sizes are written, in the reader's language.
import { language } from "../i18n";

const locale = () => (language() === "zh" ? "zh-CN" : "en-GB");

export function count(value: number): string {
  return value.toLocaleString(locale(), { maximumFractionDigits: 0 });
}

/** 1,234 as it is, 12,345 as 12.3k. */
export function compact(value: number): string {
  if (Math.abs(value) < 10_000) return count(value);
  return value.toLocaleString("en-GB", { notation: "compact", maximumFractionDigits: 1 });
}

export function figure(value: number, digits = 1): string {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits });
}

/** Milliseconds as people say them. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1) return ms > 0 ? "<1 ms" : "0 ms";
  if (ms < 1_000) return `${ms < 10 ? ms.toFixed(1).replace(/\.0$/, "") : Math.round(ms)} ms`;
  const s = ms / 1_000;
  if (s < 60) return `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.round(s % 60)} s`;
  const h = Math.floor(m / 60);
  if (h < 48) return `${h} h ${m % 60} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes;
  let at = -1;
  while (value >= 1_000 && at < units.length - 1) {
    value /= 1_000;
    at += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** Like the server's `Seconds`: a number of seconds, or a text with a unit. */
export function seconds(value: number | string): number {
  if (typeof value === "number") return value;
  const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 };
  let total = 0;
  for (const [, figure, unit] of value.matchAll(/([\d.]+)(ms|s|m|h|d)?/g)) total += Number(figure) * (units[unit ?? "s"] ?? 1);
  return total;
}

export function clock(at: string | number | Date): string {
  return new Date(at).toLocaleTimeString("en-GB", { hour12: false });
}

/** With milliseconds, for logs and events. */
export function instant(at: string | number | Date): string {
  const date = new Date(at);
  return `${clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export function moment(at: string | number | Date): string {
  return new Date(at).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium" });
}

/** How long ago, or until. */
export function ago(at: string | number | Date, now = Date.now()): string {
  const ms = new Date(at).getTime() - now;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  const s = Math.round(ms / 1_000);
  if (Math.abs(s) < 60) return format.format(s, "second");
  if (Math.abs(s) < 3_600) return format.format(Math.round(s / 60), "minute");
  if (Math.abs(s) < 86_400) return format.format(Math.round(s / 3_600), "hour");
  return format.format(Math.round(s / 86_400), "day");
}
