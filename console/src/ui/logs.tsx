// Log lines as they come: a bounded window over what was read, drawn a screenful at a time, kept at its end
// until somebody scrolls up.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import type { LogLine } from "../api/items";
import { type Event, follow } from "../api/stream";
import { t } from "../i18n";
import { instant } from "./format";
import { Problem } from "./kit";

/** Older lines are let go. */
export const LINES_MAX = 20_000;

/** What is kept of lines when more come. */
export function gathered(before: LogLine[], more: LogLine[], max = LINES_MAX): LogLine[] {
  const all = [...before, ...more];
  return all.length > max ? all.slice(all.length - max) : all;
}

/** Without what would steer a terminal. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, "");
}

/** Lines of a stream, in bunches, so that a flood costs one drawing a frame. */
export function useLines(path: string | null): { lines: LogLine[]; ended: boolean; error: unknown } {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [ended, setEnded] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    setLines([]);
    setEnded(false);
    setError(undefined);
    if (!path) return;
    const stop = new AbortController();
    let waiting: LogLine[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isFresh = true;
    const show = () => {
      timer = undefined;
      const more = waiting;
      const starts = isFresh;
      waiting = [];
      isFresh = false;
      setLines((before) => gathered(starts ? [] : before, more));
    };
    const onEvent = (event: Event) => {
      if (event.name === "end") setEnded(true);
      if (event.name !== "line") return;
      waiting.push(JSON.parse(event.data) as LogLine);
      timer ??= setTimeout(show, 60);
    };
    // The past is sent again after a break: it takes the place of what is shown.
    const onOpen = () => {
      isFresh = true;
      waiting = [];
    };
    follow({ path, signal: stop.signal, onEvent, onOpen }).catch(setError);
    return () => {
      stop.abort();
      if (timer) clearTimeout(timer);
    };
  }, [path]);
  return { lines, ended, error };
}

export function Lines({ lines, error, waiting, named, className }: { lines: LogLine[]; error?: unknown; waiting?: string; named?: boolean; className?: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => 19, overscan: 30 });
  useEffect(() => {
    if (isAtEnd && lines.length > 0) rows.scrollToIndex(lines.length - 1, { align: "end" });
  }, [lines, isAtEnd, rows]);
  const onScroll = () => {
    const at = box.current;
    if (at) setAtEnd(at.scrollHeight - at.scrollTop - at.clientHeight < 40);
  };
  if (error) return <Problem error={error} className="m-3" />;
  return (
    <div ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-label={t("logs.title")} className={`log overflow-auto py-2 ${className ?? "h-80"}`}>
      {lines.length === 0 && <p className="px-4 py-2 font-sans text-soft">{waiting ?? t("logs.none")}</p>}
      <div className="relative" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((row) => {
          const line = lines[row.index] as LogLine;
          return (
            <div key={row.key} data-index={row.index} ref={rows.measureElement} className="log-line absolute inset-x-0" style={{ transform: `translateY(${row.start}px)` }}>
              <time dateTime={line.at}>{instant(line.at)}</time>
              {named && <span className="hidden w-28 flex-none truncate text-soft sm:block">{line.function}</span>}
              <span className="min-w-0">{plain(line.text)}</span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
