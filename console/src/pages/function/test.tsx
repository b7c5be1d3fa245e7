// A place to try a function: called and answered, or submitted as a task, with what it printed beside it.
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { call, send } from "../../api/client";
import type { FcFunction } from "../../api/fc";
import { t } from "../../i18n";
import { Editor } from "../../ui/editor";
import { span } from "../../ui/format";
import { Button, Field, Problem, Sheet } from "../../ui/kit";
import { Content } from "../../ui/viewer";

interface Answered {
  data: Uint8Array;
  log: string;
  ms: number;
  requestId: string;
  failure: string;
}

/** What a base64 header says. */
function decoded(header: string | null): string {
  if (!header) return "";
  return new TextDecoder().decode(Uint8Array.from(atob(header), (letter) => letter.charCodeAt(0)));
}

export function Test({ it }: { it: FcFunction }) {
  const navigate = useNavigate();
  const [payload, setPayload] = useState('{\n  "name": "you"\n}');
  const [qualifier, setQualifier] = useState("LATEST");
  const [answer, setAnswer] = useState<Answered>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const invoke = async () => {
    setBusy(true);
    setError(undefined);
    const began = performance.now();
    try {
      const path = `/2023-03-30/functions/${encodeURIComponent(it.functionName)}/invocations?qualifier=${encodeURIComponent(qualifier)}`;
      const got = await send(path, { method: "POST", body: payload, headers: { accept: "*/*", "x-fc-log-type": "Tail", "content-type": "application/octet-stream" } });
      const data = new Uint8Array(await got.arrayBuffer());
      setAnswer({ data, log: decoded(got.headers.get("x-fc-log-result")), ms: performance.now() - began, requestId: got.headers.get("x-fc-request-id") ?? "", failure: got.headers.get("x-fc-error-type") ?? "" });
    } catch (caught) {
      setError(caught);
      setAnswer(undefined);
    } finally {
      setBusy(false);
    }
  };
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const made = await call("submitTask", { path: { function: it.functionName }, query: { qualifier }, body: { payloadText: payload } });
      void navigate({ to: `/tasks/${made.uid}` });
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Sheet title={t("payload")}>
        <div className="grid gap-3 p-4">
          <Editor value={payload} onChange={setPayload} mode="json" label={t("payload")} className="h-56" />
          <div className="flex flex-wrap items-end gap-2">
            <div className="w-32">
              <Field label={t("qualifier")}>{(id) => <input id={id} className="field mono" value={qualifier} onChange={(event) => setQualifier(event.target.value)} />}</Field>
            </div>
            <span className="flex-1" />
            <Button need="invoke" busy={busy} onClick={() => void submit()}>
              {t("test.task")}
            </Button>
            <Button kind="main" icon="play" need="invoke" busy={busy} onClick={() => void invoke()}>
              {t("test.invoke")}
            </Button>
          </div>
        </div>
      </Sheet>
      <div className="grid gap-4">
        <Problem error={error} />
        <Sheet title={t("result")} actions={answer && <span className="num text-soft">{span(answer.ms)}</span>}>
          <div className="min-h-32" data-testid="answer">
            {answer ? <Content value={answer.data} isWhole total={answer.data.length} /> : <p className="p-4 text-soft">{t("test.none")}</p>}
            {answer?.failure && <p className="px-4 pb-3 font-semibold text-bad">{answer.failure}</p>}
          </div>
        </Sheet>
        <Sheet title={t("logs.title")} actions={answer && <span className="mono text-soft">{answer.requestId}</span>}>
          <pre tabIndex={0} className="log max-h-72 min-h-24 overflow-auto p-4 whitespace-pre-wrap [overflow-wrap:anywhere]">{answer?.log || (answer ? t("logs.none") : "")}</pre>
        </Sheet>
      </div>
    </div>
  );
}
