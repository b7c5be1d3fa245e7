// How one likes the console, who one is, and how the server is set up and feels.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { can, session, signOut } from "../api/session";
import { language, setLanguage, t, word } from "../i18n";
import { useCall } from "../state/query";
import { type Theme, setTheme, theme } from "../state/theme";
import { Icon } from "../ui/icons";
import { Button, Copy, Facts, Field, Head, Loaded, Sheet } from "../ui/kit";

export function Settings() {
  const who = session()?.who;
  return (
    <>
      <Head title={t("nav.settings")} sub=" " />
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_minmax(0,1.6fr)]">
        <div className="grid gap-4">
          <Look />
          <Sheet title={t("you")} actions={<Button icon="out" onClick={() => void signOut()}>{t("signout")}</Button>}>
            <Facts of={[[t("role"), word("role", who?.role ?? "")], [t("account"), <Copy key="a" text={who?.account ?? ""} />], [t("key.id"), <Copy key="k" text={who?.keyId ?? ""} />], [t("key.scope"), (who?.functions ?? []).join(", ") || t("all")]]} />
          </Sheet>
          <Doctor />
        </div>
        {can("getConfig") && <Configuration />}
      </div>
    </>
  );
}

function Look() {
  const [chosen, setChosen] = useState(theme());
  const pick = (next: Theme) => {
    setTheme(next);
    setChosen(next);
  };
  return (
    <Sheet title={t("settings.look")}>
      <div className="grid grid-cols-2 gap-4 p-4">
        <Field label={t("settings.theme")}>{(id) => <select id={id} className="field" value={chosen} onChange={(event) => pick(event.target.value as Theme)}>{(["system", "light", "dark"] as const).map((one) => <option key={one} value={one}>{t(`theme.${one}`)}</option>)}</select>}</Field>
        <Field label={t("settings.language")}>{(id) => <select id={id} className="field" value={language()} onChange={(event) => setLanguage(event.target.value === "zh" ? "zh" : "en")}><option value="en" lang="en">English</option><option value="zh" lang="zh-CN">中文</option></select>}</Field>
      </div>
    </Sheet>
  );
}

/** What can be seen of the server's health from here. */
function Doctor() {
  const ready = useQuery({ queryKey: ["readyz"], queryFn: async () => { const answer = await fetch("/readyz"); return { ok: answer.ok, ...((await answer.json()) as { status: string; version: string }) }; }, refetchInterval: 3_000 });
  const overview = useCall("overview", {}, { every: 5_000, enabled: can("overview") });
  const checks: Array<[string, boolean | undefined, string]> = [
    [t("doctor.ready"), ready.data?.ok, ready.data?.status ?? ""],
    [t("doctor.nodes"), overview.data && overview.data.nodes.length > 0, `${overview.data?.nodes.length ?? ""}`],
    [t("doctor.clock"), overview.data && Math.abs(Date.parse(overview.data.now) - overview.dataUpdatedAt) < 30_000, ""],
    [t("doctor.secure"), isSecureContext, location.protocol.replace(":", "")],
  ];
  return (
    <Sheet title={t("doctor")} actions={<span className="num text-soft">{ready.data?.version ?? " "}</span>}>
      <ul className="p-4">
        {checks.map(([name, ok, about]) => (
          <li key={name} className="flex items-center gap-2.5 py-1">
            {ok === undefined ? <span className="w-4 text-center text-soft">–</span> : <Icon name={ok ? "check" : "warn"} className={ok ? "text-good" : "text-warn"} />}
            <span className="flex-1">{name}</span>
            <span className="text-soft">{about}</span>
          </li>
        ))}
      </ul>
      <p className="border-t border-rule px-4 py-3 text-soft">{t("doctor.more")}</p>
    </Sheet>
  );
}

function Configuration() {
  const query = useCall("getConfig");
  const [text, setText] = useState("");
  return (
    <Sheet title={t("settings.config")} actions={<input className="field" style={{ width: 180 }} aria-label={t("settings.find")} placeholder={t("settings.find")} value={text} onChange={(event) => setText(event.target.value)} />}>
      <Loaded query={query} rows={10}>
        {(page) => (
          <div className="max-h-[70vh] overflow-auto" tabIndex={0} role="region" aria-label={t("settings.config")}>
            <table className="table">
              <tbody>
                {page.items
                  .filter((one) => one.name.includes(text.trim()))
                  .map((one) => (
                    <tr key={one.name}>
                      <td className="mono">{one.name}</td>
                      <td className="mono break-all">{one.value}</td>
                      <td className="text-soft">{one.origin === "default" ? t("settings.default") : <b className="font-semibold text-ink">{one.origin}</b>}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
    </Sheet>
  );
}
