// The parts every page is made of.
import { Dialog as Base } from "@base-ui/react/dialog";
import { Menu as BaseMenu } from "@base-ui/react/menu";
import { Link } from "@tanstack/react-router";
import { type ButtonHTMLAttributes, type ReactNode, useEffect, useId, useState } from "react";
import { ApiError, Unreachable } from "../api/client";
import type { Need, OperationId } from "../api/generated";
import { can } from "../api/session";
import { t, word } from "../i18n";
import { ago, moment } from "./format";
import { Icon, type IconName } from "./icons";
import { toast } from "./toast";

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  kind?: "main" | "bad" | "quiet";
  icon?: IconName;
  /** What the press needs; without it the button is there but dead, and says why. */
  need?: Need | OperationId;
  busy?: boolean;
};

export function Button({ kind, icon, need, busy, className, children, title, disabled, ...rest }: ButtonProps) {
  const lacks = need !== undefined && !can(need);
  const style = kind ? `btn-${kind}` : "";
  return (
    <button
      type="button"
      {...rest}
      title={lacks ? t("role.lacks") : title}
      disabled={disabled || lacks || busy}
      className={`btn ${style} ${children ? "" : "btn-icon"} ${className ?? ""}`}
    >
      {busy ? <Icon name="again" className="turning" /> : icon ? <Icon name={icon} /> : null}
      {children}
    </button>
  );
}

const STATES: Record<string, { tone: string; sign: string }> = {
  Enqueued: { tone: "warn", sign: "ring" },
  Dequeued: { tone: "busy", sign: "half" },
  Running: { tone: "busy", sign: "half" },
  Starting: { tone: "busy", sign: "half" },
  Ready: { tone: "good", sign: "disc" },
  Idle: { tone: "idle", sign: "ring" },
  Busy: { tone: "busy", sign: "half" },
  Retrying: { tone: "warn", sign: "ring" },
  Stopping: { tone: "idle", sign: "half" },
  Succeeded: { tone: "good", sign: "check" },
  Active: { tone: "good", sign: "check" },
  Failed: { tone: "bad", sign: "cross" },
  TimedOut: { tone: "bad", sign: "cross" },
  Invalid: { tone: "bad", sign: "cross" },
  Expired: { tone: "bad", sign: "ring" },
  Stopped: { tone: "idle", sign: "square" },
};

const SIGNS: Record<string, ReactNode> = {
  ring: <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.7" />,
  disc: <circle cx="6" cy="6" r="4.5" fill="currentColor" />,
  half: (
    <g className="turning" style={{ transformOrigin: "6px 6px" }}>
      <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.7" opacity="0.3" />
      <path d="M6 2a4 4 0 0 1 4 4" fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" />
    </g>
  ),
  check: <path d="M2 6.5 5 9.3 10.2 3" fill="none" stroke="currentColor" strokeWidth="1.9" strokeLinecap="round" strokeLinejoin="round" />,
  cross: <path d="M2.5 2.500l7 7M9.5 2.500l-7 7" fill="none" stroke="currentColor" strokeWidth="1.9" strokeLinecap="round" />,
  square: <rect x="2" y="2" width="8" height="8" rx="1.5" fill="currentColor" />,
};

/** A state: a sign and a word, so that no colour is needed to read it. */
export function State({ name }: { name: string }) {
  const { tone, sign } = STATES[name] ?? { tone: "idle", sign: "ring" };
  return (
    <span className="state" style={{ color: `var(--${tone})` }}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" className="flex-none">
        {SIGNS[sign]}
      </svg>
      {word("state", name)}
    </span>
  );
}

/** A time: how long ago, with the moment behind it. */
export function Ago({ at }: { at: string | null | undefined }) {
  const [, again] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => again((n) => n + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span className="text-soft">–</span>;
  return (
    <time dateTime={at} title={moment(at)} className="num whitespace-nowrap">
      {ago(at)}
    </time>
  );
}

/** The head of a page. */
export function Head({ title, sub, back, children }: { title: ReactNode; sub?: ReactNode; back?: { to: string; name: string }; children?: ReactNode }) {
  return (
    <header className="mb-4 flex flex-wrap items-start gap-x-4 gap-y-3">
      <div className="min-w-0 flex-1 basis-64">
        {back && (
          <Link to={back.to} className="mb-0.5 inline-flex items-center gap-1 text-soft no-underline hover:text-ink">
            <Icon name="back" size={12} />
            {back.name}
          </Link>
        )}
        <h1 className="min-w-0 break-words">{title}</h1>
        {sub && <div className="mt-0.5 text-soft">{sub}</div>}
      </div>
      <div className="flex flex-wrap items-center gap-2">{children}</div>
    </header>
  );
}

export function Sheet({ title, actions, children, className }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`sheet min-w-0 ${className ?? ""}`}>
      {title && (
        <div className="sheet-head">
          <h2>{title}</h2>
          {actions}
        </div>
      )}
      {children}
    </section>
  );
}

/** Nothing is here, and what to do about it. */
export function Empty({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-3 px-6 py-10 text-center text-soft">
      <svg width="40" height="28" viewBox="0 0 40 28" fill="none" stroke="var(--rule-strong)" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
        <path d="M6 5h18M6 14h28M6 23h11" strokeDasharray="2 4" />
      </svg>
      <p className="max-w-prose">{children}</p>
      {action}
    </div>
  );
}

/** A refusal or a failure, in the server's words and with its code. */
export function Problem({ error, className }: { error: unknown; className?: string }) {
  if (!error) return null;
  const api = error instanceof ApiError ? error : undefined;
  const title = api?.status === 403 ? t("error.denied") : error instanceof Unreachable ? t("error.unreachable") : undefined;
  return (
    <div role="alert" className={`note note-bad ${className ?? ""}`}>
      {title && <p className="font-semibold">{title}</p>}
      {!(error instanceof Unreachable) && <p className="break-words">{error instanceof Error ? error.message : String(error)}</p>}
      {api && (
        <p className="mono mt-1 text-soft">
          {api.code}
          {api.requestId && ` · ${api.requestId}`}
        </p>
      )}
    </div>
  );
}

/** What a query comes to: a shape while it loads, its error, or its answer. */
export function Loaded<T>({ query, rows = 4, children }: { query: { data: T | undefined; error: unknown }; rows?: number; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error && !(query.error instanceof Unreachable)) return <Problem error={query.error} className="m-3" />;
  return <Skeleton rows={rows} />;
}

export function Skeleton({ rows = 4 }: { rows?: number }) {
  return (
    <div className="flex flex-col gap-3 p-4" role="status" aria-label={t("loading")}>
      {Array.from({ length: rows }, (_, at) => (
        <div key={at} className="skeleton h-4" style={{ width: `${86 - ((at * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: ReactNode; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div className="min-w-0">
      <label className="label" htmlFor={id}>
        {label}
      </label>
      {children(id)}
      {hint && <p className="mt-1 text-[12px] text-soft">{hint}</p>}
    </div>
  );
}

/** A window over the page. Escape and the veil close it. */
export function Dialog({ title, open, onClose, wide, children, foot }: { title: ReactNode; open: boolean; onClose: () => void; wide?: number; children: ReactNode; foot?: ReactNode }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="veil" />
        <Base.Popup className="popup dialog" style={wide ? ({ "--wide": `${wide}px` } as React.CSSProperties) : undefined}>
          <div className="flex items-start gap-3 px-5 pt-4 pb-1">
            <Base.Title className="flex-1 text-[15px] font-semibold">{title}</Base.Title>
            <Base.Close className="btn btn-quiet btn-icon -mt-1 -mr-2" aria-label={t("close")}>
              <Icon name="close" />
            </Base.Close>
          </div>
          <div className="px-5 pb-4">{children}</div>
          {foot && <div className="sticky bottom-0 flex flex-wrap justify-end gap-2 border-t border-rule bg-sheet px-5 py-3">{foot}</div>}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

export interface Choice {
  name: ReactNode;
  onPick: () => void;
  icon?: IconName;
  need?: Need | OperationId;
  bad?: boolean;
}

export function Menu({ label, icon, choices, children }: { label: string; icon?: IconName; choices: Choice[]; children?: ReactNode }) {
  return (
    <BaseMenu.Root>
      <BaseMenu.Trigger className={`btn ${children ? "" : "btn-icon"}`} aria-label={label}>
        {children}
        <Icon name={icon ?? "more"} />
      </BaseMenu.Trigger>
      <BaseMenu.Portal>
        <BaseMenu.Positioner sideOffset={4} align="end" className="z-50">
          <BaseMenu.Popup className="popup min-w-44 p-1">
            {choices.map((choice, at) => (
              <BaseMenu.Item
                key={at}
                onClick={choice.onPick}
                disabled={choice.need !== undefined && !can(choice.need)}
                className={`flex cursor-pointer items-center gap-2 rounded-md px-2.5 py-1.5 outline-none data-[disabled]:cursor-not-allowed data-[disabled]:text-soft data-[highlighted]:bg-well ${choice.bad ? "text-bad" : ""}`}
              >
                {choice.icon && <Icon name={choice.icon} />}
                {choice.name}
              </BaseMenu.Item>
            ))}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}

/** Asks before something is done, does it, and says what came of it. */
export function Confirm({ title, text, verb, open, onClose, act, bad }: { title: string; text: ReactNode; verb: string; open: boolean; onClose: () => void; act: () => Promise<unknown>; bad?: boolean }) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await act();
      onClose();
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  const foot = (
    <>
      <Button onClick={onClose}>{t("cancel")}</Button>
      <Button kind={bad ? "bad" : "main"} busy={busy} onClick={go}>
        {verb}
      </Button>
    </>
  );
  return (
    <Dialog title={title} open={open} onClose={onClose} foot={foot}>
      <div className="mt-1 text-soft">{text}</div>
      <Problem error={error} className="mt-3" />
    </Dialog>
  );
}

export function Copy({ text, children }: { text: string; children?: ReactNode }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast(t("copied"));
    } catch {
      toast(t("copied.not"), "bad");
    }
  };
  return (
    <span className="inline-flex min-w-0 items-center gap-1">
      <span className="mono min-w-0 break-all">{children ?? text}</span>
      <button type="button" onClick={copy} aria-label={t("copy")} title={t("copy")} className="inline-flex rounded p-0.5 text-soft hover:text-ink">
        <Icon name="copy" size={13} />
      </button>
    </span>
  );
}

/** Names and values, in two columns where there is room. */
export function Facts({ of }: { of: Array<[string, ReactNode] | false | undefined | null> }) {
  return (
    <dl className="grid grid-cols-[minmax(110px,auto)_minmax(0,1fr)] gap-x-5 gap-y-1.5 p-4">
      {of.map((fact) =>
        fact ? (
          <div key={fact[0]} className="contents">
            <dt className="text-soft">{fact[0]}</dt>
            <dd className="min-w-0 break-words">{fact[1]}</dd>
          </div>
        ) : null,
      )}
    </dl>
  );
}

/** How full something is. */
export function Meter({ value, of, label, alarm }: { value: number; of: number; label: string; alarm?: boolean }) {
  const share = of > 0 ? Math.min(1, value / of) : 0;
  return (
    <div role="meter" aria-label={label} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100} className="h-1.5 w-full overflow-hidden rounded-full bg-well">
      <div className="h-full rounded-full transition-[width] duration-500" style={{ width: `${share * 100}%`, background: alarm && share > 0.9 ? "var(--bad)" : "var(--accent)" }} />
    </div>
  );
}

/** A page's parts, each with an address of its own. */
export function Tabs({ tabs, on }: { tabs: Array<{ id: string; name: string; to: string; count?: number }>; on: string }) {
  return (
    <nav className="mb-4 flex overflow-x-auto border-b border-rule" aria-label={t("tabs")}>
      {tabs.map((tab) => (
        <Link key={tab.id} to={tab.to} className="tab" data-on={tab.id === on ? "" : undefined} aria-current={tab.id === on ? "page" : undefined}>
          {tab.name}
          {tab.count !== undefined && <span className="tag num">{tab.count}</span>}
        </Link>
      ))}
    </nav>
  );
}
