// The keyboard: single keys and sequences of two, never while somebody types.
import { useEffect, useRef, useState } from "react";

const SEQUENCE_MS = 900;

/** Whether a key belongs to what has the focus. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  return target.closest("input, textarea, select, [contenteditable], .cm-host, [role=menu], [role=dialog]") !== null;
}

/** Keys to what they do: `j`, `?`, `g t`. */
export function useKeys(keys: Record<string, () => void>, on = true): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    if (!on) return;
    let before = "";
    let at = 0;
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target)) return;
      const now = performance.now();
      const sequence = before && now - at < SEQUENCE_MS ? `${before} ${event.key}` : "";
      const act = (sequence && latest.current[sequence]) || latest.current[event.key];
      before = event.key;
      at = now;
      if (!act) return;
      before = "";
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [on]);
}

/** A place in a list: `j` and `k` move it, Enter opens. */
export function useCursor(length: number, open: (at: number) => void): { at: number; set: (at: number) => void } {
  const [at, set] = useState(-1);
  const bounded = Math.min(at, length - 1);
  useKeys({
    j: () => set(Math.min(bounded + 1, length - 1)),
    k: () => set(Math.max(bounded - 1, 0)),
    Enter: () => {
      if (bounded >= 0) open(bounded);
    },
  });
  return { at: bounded, set };
}
