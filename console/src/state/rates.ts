// What the console saw since it was opened: differences of the server's totals, at most so many.
import { useEffect, useState } from "react";
import type { Overview } from "../api/generated";

export interface Sample {
  /** Unix seconds. */
  at: number;
  started: number;
  succeeded: number;
  failed: number;
  waiting: number;
  running: number;
}

const SAMPLES_MAX = 300;
let last: Overview | undefined;
let samples: Sample[] = [];

/** The rates between two looks; nothing when the server began anew or time stood still. */
export function between(before: Overview, now: Overview): Sample | null {
  const at = Date.parse(now.now) / 1_000;
  const seconds = at - Date.parse(before.now) / 1_000;
  if (seconds <= 0.2 || before.startedAt !== now.startedAt) return null;
  const rate = (after: number, earlier: number) => Math.max(0, (after - earlier) / seconds);
  return {
    at,
    started: rate(now.startedTotal, before.startedTotal),
    succeeded: rate(now.succeededTotal, before.succeededTotal),
    failed: rate(now.failedTotal, before.failedTotal),
    waiting: now.waiting + now.delayed,
    running: now.running,
  };
}

export function useRates(overview: Overview | undefined): Sample[] {
  const [, again] = useState(0);
  useEffect(() => {
    if (!overview || overview === last) return;
    const sample = last && between(last, overview);
    last = overview;
    if (!sample) return;
    samples = [...samples, sample].slice(-SAMPLES_MAX);
    again((n) => n + 1);
  }, [overview]);
  return samples;
}
