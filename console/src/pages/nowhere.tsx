// What is shown where nothing is, and where the console itself is wrong.
import { Link } from "@tanstack/react-router";
import { t } from "../i18n";
import { Empty, Problem } from "../ui/kit";

export function Nowhere() {
  return (
    <Empty action={<Link to="/" className="link">{t("nav.home")}</Link>}>{t("nowhere")}</Empty>
  );
}

export function Broken({ error }: { error: unknown }) {
  return (
    <div className="mx-auto max-w-xl p-8">
      <h1 className="mb-3">{t("broken")}</h1>
      <Problem error={error} />
      <button type="button" className="btn mt-4" onClick={() => location.reload()}>
        {t("reload")}
      </button>
    </div>
  );
}
