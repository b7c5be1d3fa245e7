// The command palette: places, functions, flows, and tasks by their id.
import { Dialog as Base } from "@base-ui/react/dialog";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useMemo, useState } from "react";
import { can, signOut } from "../api/session";
import { language, setLanguage, t } from "../i18n";
import { useCall, useWhole } from "../state/query";
import { setTheme } from "../state/theme";
import { Icon, type IconName } from "../ui/icons";
import { PLACES } from "./places";

export interface Command {
  id: string;
  name: string;
  about?: string;
  icon: IconName;
  act: () => void;
}

const SHOWN_MAX = 40;

/** Commands whose letters hold those of `text` in order; the closer together, the earlier. */
export function ranked<T extends { name: string; about?: string }>(all: T[], text: string): T[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return all;
  const scored = all.flatMap((command) => {
    const score = closeness(`${command.name} ${command.about ?? ""}`.toLowerCase(), wanted);
    return score === null ? [] : [{ command, score }];
  });
  return scored.sort((a, b) => a.score - b.score).map(({ command }) => command);
}

function closeness(text: string, wanted: string): number | null {
  const whole = text.indexOf(wanted);
  if (whole >= 0) return whole;
  let at = -1;
  let gaps = 100;
  for (const letter of wanted) {
    const next = text.indexOf(letter, at + 1);
    if (next < 0) return null;
    gaps += next - at - 1;
    at = next;
  }
  return gaps;
}

export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="veil" />
        <Base.Popup className="popup dialog" aria-label={t("palette")} style={{ "--wide": "600px", top: "12vh" } as React.CSSProperties}>
          <Commands onClose={onClose} />
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

function Commands({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useId();
  const functions = useWhole("listFunctions", { enabled: can("listFunctions") });
  const flows = useWhole("listFlows", { enabled: can("listFlows") });
  const trimmed = text.trim();
  const asksTask = can("listTasks") && trimmed.length >= 3;
  const tasks = useCall("listTasks", { query: { idPrefix: trimmed, limit: 5 } }, { enabled: asksTask });
  const all = useMemo(() => {
    const go = (to: string) => () => void navigate({ to });
    const places: Command[] = PLACES.filter((place) => can(place.need)).map((place) => ({ id: place.to, name: t(place.name), about: t("palette.go"), icon: place.icon, act: go(place.to) }));
    const acts: Command[] = [
      ...(can("createFlow") ? [{ id: "new-function", name: t("fn.new"), icon: "plus" as const, act: go("/functions/new") }, { id: "new-flow", name: t("flow.new"), icon: "plus" as const, act: go("/flows/new") }] : []),
      { id: "light", name: t("theme.light"), icon: "sun", act: () => setTheme("light") },
      { id: "dark", name: t("theme.dark"), icon: "moon", act: () => setTheme("dark") },
      { id: "language", name: language() === "zh" ? "English" : "中文", icon: "settings", act: () => setLanguage(language() === "zh" ? "en" : "zh") },
      { id: "out", name: t("signout"), icon: "out", act: () => void signOut() },
    ];
    const named: Command[] = [
      ...(functions.data?.items ?? []).map((one): Command => ({ id: `f/${one.name}`, name: one.name, about: t("nav.functions"), icon: "functions", act: go(`/functions/${encodeURIComponent(one.name)}`) })),
      ...(flows.data?.items ?? []).map((one): Command => ({ id: `w/${one.name}`, name: one.name, about: t("nav.flows"), icon: "flows", act: go(`/flows/${encodeURIComponent(one.name)}`) })),
    ];
    return { places, acts, named };
  }, [functions.data, flows.data, navigate]);
  const found: Command[] = (asksTask ? (tasks.data?.items ?? []) : []).map((one) => ({ id: one.uid, name: one.taskId, about: `${one.function} · ${one.uid}`, icon: "tasks", act: () => void navigate({ to: `/tasks/${one.uid}` }) }));
  const search: Command[] = trimmed && can("searchLogs") ? [{ id: "logs", name: t("palette.logs", { text: trimmed }), icon: "logs", act: () => void navigate({ to: "/logs", search: { text: trimmed } as never }) }] : [];
  const shown = [...ranked([...all.places, ...all.named, ...all.acts], text).slice(0, SHOWN_MAX), ...found, ...search];
  useEffect(() => setAt(0), [text]);
  useEffect(() => document.getElementById(`${list}-${at}`)?.scrollIntoView({ block: "nearest" }), [at, list]);
  const pick = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    command.act();
  };
  const press = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      setAt((at + move + shown.length) % Math.max(1, shown.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      pick(shown[at]);
    }
  };
  return (
    <>
      <div className="flex items-center gap-2.5 border-b border-rule px-4">
        <Icon name="search" className="text-soft" />
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls={list}
          aria-activedescendant={shown[at] ? `${list}-${at}` : undefined}
          aria-label={t("palette")}
          placeholder={t("palette.hint")}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={press}
          className="h-12 w-full bg-transparent text-[15px] outline-none"
        />
      </div>
      <div id={list} role="listbox" aria-label={t("palette")} className="max-h-[52vh] overflow-y-auto p-1.5">
        {shown.length === 0 && <p className="px-3 py-6 text-center text-soft">{t("palette.none")}</p>}
        {shown.map((command, index) => (
          <div
            key={command.id}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onClick={() => pick(command)}
            onPointerMove={() => setAt(index)}
            className={`flex h-9 cursor-pointer items-center gap-3 rounded-md px-3 ${index === at ? "bg-well" : ""}`}
          >
            <Icon name={command.icon} className="text-soft" />
            <span className="min-w-0 truncate font-medium">{command.name}</span>
            <span className="min-w-0 flex-1 truncate text-right text-soft">{command.about}</span>
          </div>
        ))}
      </div>
    </>
  );
}
