// Short words about what was just done; they go by themselves.
import { useSyncExternalStore } from "react";

interface Said {
  id: number;
  text: string;
  kind: "good" | "bad";
}

const STAY_MS = 5_000;
let said: Said[] = [];
let next = 1;
const listeners = new Set<() => void>();

function change(now: Said[]): void {
  said = now;
  for (const listener of listeners) listener();
}

export function toast(text: string, kind: "good" | "bad" = "good"): void {
  const id = next++;
  change([...said.slice(-3), { id, text, kind }]);
  setTimeout(() => change(said.filter((one) => one.id !== id)), STAY_MS);
}

export function Toasts() {
  const all = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => said,
  );
  return (
    <div role="status" aria-live="polite" className="pointer-events-none fixed right-4 bottom-4 z-[60] flex flex-col items-end gap-2">
      {all.map((one) => (
        <div key={one.id} className="popup max-w-[min(420px,calc(100vw-32px))] px-4 py-2.5 break-words" style={{ borderLeft: `3px solid var(--${one.kind})` }}>
          {one.text}
        </div>
      ))}
    </div>
  );
}
