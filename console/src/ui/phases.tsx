// The five phases of an attempt: queued, placed, cold start, ran, settled. Drawn the same everywhere: by length
// on one scale, with the figures below, for a bar alone cannot be read by everybody.
import type { Attempt, Phases } from "../api/generated";
import { t } from "../i18n";
import { span } from "./format";

const NAMES = ["queued", "placed", "cold", "ran", "settled"] as const;
type Phase = (typeof NAMES)[number];

export function lengths(phases: Phases): Record<Phase, number> {
  return { queued: phases.queuedMs, placed: phases.placedMs, cold: phases.coldStartMs, ran: phases.ranMs, settled: phases.settledMs };
}

export function total(phases: Phases): number {
  return Object.values(lengths(phases)).reduce((sum, ms) => sum + ms, 0);
}

/** Shares of a bar: what took time has at least two hundredths, so that it can be seen. */
export function shares(phases: Phases, scale: number): Array<{ name: Phase; share: number; ms: number }> {
  const all = lengths(phases);
  return NAMES.flatMap((name) => {
    const ms = all[name];
    return ms > 0 ? [{ name, ms, share: Math.max(0.02, scale > 0 ? ms / scale : 0) }] : [];
  });
}

export function PhaseBar({ phases, scale }: { phases: Phases; scale: number }) {
  const all = shares(phases, scale);
  const label = all.map(({ name, ms }) => `${t(`phase.${name}`)} ${span(ms)}`).join(", ");
  return (
    <div role="img" aria-label={label} title={label} className="flex h-4 w-full gap-px overflow-hidden rounded-[4px] bg-well">
      {all.map(({ name, share }) => (
        <div key={name} style={{ width: `${share * 100}%`, background: `var(--phase-${name})` }} />
      ))}
    </div>
  );
}

export function PhaseLegend({ phases }: { phases: Phases }) {
  const all = lengths(phases);
  return (
    <dl className="grid grid-cols-[repeat(auto-fit,minmax(92px,1fr))] gap-x-4 gap-y-2">
      {NAMES.map((name) => (
        <div key={name}>
          <dt className="flex items-center gap-1.5 text-soft">
            <span aria-hidden="true" className="h-2.5 w-2.5 rounded-[3px]" style={{ background: `var(--phase-${name})` }} />
            {t(`phase.${name}`)}
          </dt>
          <dd className="num text-[14px] font-semibold">{span(all[name])}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The longest of several attempts, the scale of all their bars. */
export function scaleOf(attempts: Attempt[]): number {
  return Math.max(1, ...attempts.map((attempt) => total(attempt.phases)));
}
