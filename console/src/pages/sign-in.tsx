// Signing in: with a key, which stays in this page, or with a token.
import { type FormEvent, useState } from "react";
import { SignInRefused, signInWithKey, signInWithToken } from "../api/session";
import { language, setLanguage, t } from "../i18n";
import { Button, Field } from "../ui/kit";

export function SignIn() {
  const [way, setWay] = useState<"key" | "token">("key");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    setBusy(true);
    setProblem("");
    try {
      if (way === "key") await signInWithKey(text("id"), text("secret"));
      else await signInWithToken(text("token"));
    } catch (error) {
      setProblem(words(error));
      setBusy(false);
    }
  };
  return (
    <main className="grid min-h-dvh place-items-center p-4">
      <div className="w-full max-w-[380px]">
        <div className="mb-6 flex items-end justify-between">
          <div>
            <h1 className="text-[26px] leading-tight font-bold tracking-tight">Stint</h1>
            <p className="text-soft">{t("signin.about")}</p>
          </div>
          <Button kind="quiet" lang={language() === "zh" ? "en" : "zh-CN"} onClick={() => setLanguage(language() === "zh" ? "en" : "zh")}>
            {language() === "zh" ? "English" : "中文"}
          </Button>
        </div>
        <form onSubmit={submit} className="sheet p-5">
          <div role="group" aria-label={t("signin.way")} className="mb-4 grid grid-cols-2 rounded-md bg-well p-0.5">
            {(["key", "token"] as const).map((one) => (
              <button key={one} type="button" aria-pressed={way === one} onClick={() => setWay(one)} className={`h-7 rounded font-medium ${way === one ? "bg-sheet shadow-sm" : "text-soft"}`}>
                {t(`signin.${one}`)}
              </button>
            ))}
          </div>
          <div className="flex min-h-[132px] flex-col gap-3">
            {way === "key" ? (
              <>
                <Field label={t("signin.id")}>{(id) => <input id={id} name="id" className="field mono h-9" autoComplete="username" spellCheck={false} required autoFocus />}</Field>
                <Field label={t("signin.secret")}>{(id) => <input id={id} name="secret" type="password" className="field mono h-9" autoComplete="current-password" required />}</Field>
              </>
            ) : (
              <Field label={t("signin.token")}>{(id) => <input id={id} name="token" type="password" className="field mono h-9" autoComplete="off" required autoFocus />}</Field>
            )}
          </div>
          {problem && (
            <p role="alert" className="note note-bad mb-3">
              {problem}
            </p>
          )}
          <Button type="submit" kind="main" busy={busy} className="h-9 w-full">
            {t("signin.go")}
          </Button>
        </form>
        <p className="mt-4 text-[12px] text-soft">{way === "key" ? t("signin.kept.key") : t("signin.kept.token")}</p>
      </div>
    </main>
  );
}

function words(error: unknown): string {
  if (!(error instanceof SignInRefused)) return t("error.unreachable");
  if (error.code === "InvalidAccessKeyID" || error.code === "SignatureNotMatch") return t("signin.wrong");
  return error.message;
}
