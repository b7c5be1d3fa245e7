// The frame around every page: where one is, who one is, whether the server is there.
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useConnection } from "../api/connection";
import { can, signOut, useSession } from "../api/session";
import { language, setLanguage, t, word } from "../i18n";
import { useCall } from "../state/query";
import { useKeys } from "../state/keys";
import { setTheme, theme } from "../state/theme";
import { Icon } from "../ui/icons";
import { Button, Dialog, Menu } from "../ui/kit";
import { compact } from "../ui/format";
import { Toasts } from "../ui/toast";
import { Palette } from "./palette";
import { PLACES } from "./places";

export function Shell() {
  const [isOpen, setOpen] = useState(false);
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const navigate = useNavigate();
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  const goes = Object.fromEntries(PLACES.filter((place) => can(place.need)).map((place) => [`g ${place.key}`, () => void navigate({ to: place.to })]));
  useKeys({ ...goes, "?": () => setHelp(true), "/": focusSearch });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setPalette((open) => !open);
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[196px_minmax(0,1fr)]">
      <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:m-2 focus:rounded focus:bg-sheet focus:p-2">
        {t("skip")}
      </a>
      <div className="sticky top-0 z-30 flex h-12 items-center gap-2 border-b border-rule bg-paper px-3 md:hidden">
        <Button kind="quiet" icon="menu" aria-label={t("menu")} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)} />
        <Brand />
        <span className="flex-1" />
        <Button kind="quiet" icon="search" aria-label={t("palette")} onClick={() => setPalette(true)} />
      </div>
      <aside className={`${isOpen ? "fixed inset-x-0 top-12 bottom-0 z-30 flex" : "hidden"} flex-col bg-paper md:sticky md:top-0 md:flex md:h-dvh md:border-r md:border-rule`}>
        <div className="hidden h-14 items-center px-4 md:flex">
          <Brand />
        </div>
        <button type="button" onClick={() => setPalette(true)} className="mx-3 mb-3 hidden h-8 items-center gap-2 rounded-md border border-rule bg-sheet px-2.5 text-soft hover:border-[var(--rule-strong)] md:flex">
          <Icon name="search" size={14} />
          <span className="flex-1 text-left">{t("palette.short")}</span>
          <span className="kbd">⌃K</span>
        </button>
        <Navigation />
        <span className="flex-1" />
        <Person onHelp={() => setHelp(true)} />
      </aside>
      <div className="min-w-0">
        <Reconnecting />
        <main id="main" tabIndex={-1} className="mx-auto max-w-[1360px] px-4 py-5 outline-none md:px-7 md:py-6">
          <Outlet />
        </main>
      </div>
      <Palette open={palette} onClose={() => setPalette(false)} />
      <Help open={help} onClose={() => setHelp(false)} />
      <Toasts />
    </div>
  );
}

function focusSearch(): void {
  document.querySelector<HTMLInputElement>("[data-search]")?.focus();
}

function Brand() {
  return (
    <Link to="/" className="flex items-center gap-2 text-[15px] font-bold tracking-tight no-underline">
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="var(--accent)" />
        <path d="M7 9.500h11M7 16h18M7 22.500h7" stroke="var(--accent-ink)" strokeWidth="3" strokeLinecap="round" />
        <circle cx="23.500" cy="9.500" r="2" fill="#ffb84d" />
      </svg>
      Stint
    </Link>
  );
}

function Navigation() {
  const { pathname } = useLocation();
  const overview = useCall("overview", {}, { every: 2_000, enabled: can("overview") });
  const open = (overview.data?.waiting ?? 0) + (overview.data?.running ?? 0);
  return (
    <nav aria-label={t("menu")} className="flex flex-col gap-px px-3 pt-2 md:pt-0">
      {PLACES.filter((place) => can(place.need)).map((place) => {
        const isOn = place.to === "/" ? pathname === "/" : pathname.startsWith(place.to);
        return (
          <Link
            key={place.to}
            to={place.to}
            aria-current={isOn ? "page" : undefined}
            className={`flex h-9 items-center gap-2.5 rounded-md px-2.5 font-medium no-underline md:h-8 ${isOn ? "bg-well text-ink" : "text-soft hover:text-ink"}`}
          >
            <Icon name={place.icon} className={isOn ? "text-accent" : ""} />
            <span className="flex-1">{t(place.name)}</span>
            {place.to === "/tasks" && open > 0 && <span className="num text-[11.5px] text-soft">{compact(open)}</span>}
          </Link>
        );
      })}
    </nav>
  );
}

function Person({ onHelp }: { onHelp: () => void }) {
  const who = useSession()?.who;
  const [, again] = useState(0);
  if (!who) return null;
  const isDark = document.documentElement.dataset.theme === "dark";
  const swap = () => {
    setTheme(isDark ? "light" : "dark");
    again((n) => n + 1);
  };
  return (
    <div className="border-t border-rule p-3">
      <div className="mb-2 flex items-center gap-2 px-1">
        <div className="min-w-0 flex-1">
          <div className="font-semibold">{word("role", who.role)}</div>
          <div className="mono truncate text-soft" title={who.keyId}>
            {who.keyId}
          </div>
        </div>
        <Menu
          label={t("you")}
          choices={[
            { name: t("theme.system"), icon: "settings", onPick: () => { setTheme("system"); again((n) => n + 1); } },
            { name: t("help"), icon: "star", onPick: onHelp },
            { name: t("signout"), icon: "out", onPick: () => void signOut() },
          ]}
        />
      </div>
      <div className="flex gap-1">
        <Button kind="quiet" icon={isDark ? "sun" : "moon"} aria-label={isDark ? t("theme.light") : t("theme.dark")} title={theme()} onClick={swap} />
        <Button kind="quiet" lang={language() === "zh" ? "en" : "zh-CN"} onClick={() => setLanguage(language() === "zh" ? "en" : "zh")}>
          {language() === "zh" ? "English" : "中文"}
        </Button>
      </div>
    </div>
  );
}

/** A band over the page, so that nothing moves when it comes and goes. */
function Reconnecting() {
  if (useConnection() === "up") return null;
  return (
    <div role="status" className="note note-warn fixed top-3 left-1/2 z-50 flex -translate-x-1/2 items-center gap-2 shadow-lg" data-testid="reconnecting">
      <Icon name="again" className="turning" />
      {t("reconnecting")}
    </div>
  );
}

function Help({ open, onClose }: { open: boolean; onClose: () => void }) {
  const rows: Array<[string[], string]> = [
    [["Ctrl", "K"], t("palette")],
    [["/"], t("help.search")],
    [["j", "k"], t("help.move")],
    [["Enter"], t("help.open")],
    [["x"], t("help.select")],
    ...PLACES.filter((place) => can(place.need)).map((place): [string[], string] => [["g", place.key], t(place.name)]),
    [["?"], t("help")],
  ];
  return (
    <Dialog title={t("help")} open={open} onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2 pt-2">
        {rows.map(([keys, name]) => (
          <div key={keys.join()} className="contents">
            <dt className="flex gap-1">
              {keys.map((key) => (
                <kbd key={key} className="kbd">
                  {key}
                </kbd>
              ))}
            </dt>
            <dd>{name}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
