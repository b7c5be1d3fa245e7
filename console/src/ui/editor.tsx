// A text editor. It lives in a shadow root: there its styles are adopted sheets, which the page's policy allows,
// and nothing of the page reaches in but the colours.
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { json } from "@codemirror/lang-json";
import { python } from "@codemirror/lang-python";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, foldGutter, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

export type Mode = "json" | "yaml" | "python" | "javascript" | "text";

/** The mode that a file's name says. */
export function modeOf(name: string): Mode {
  const modes: Record<string, Mode> = { json: "json", yaml: "yaml", yml: "yaml", py: "python", js: "javascript", mjs: "javascript", cjs: "javascript", ts: "javascript" };
  return modes[name.split(".").at(-1) ?? ""] ?? "text";
}

const MODES: Record<Mode, () => Extension> = {
  json,
  yaml,
  python,
  javascript: () => javascript({ typescript: true }),
  text: () => [],
};

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--warn)" },
  { tag: [tags.comment, tags.meta], color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--busy)" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName)], color: "var(--ink)", fontWeight: "600" },
]);

const look = EditorView.theme({
  "&": { height: "100%", fontSize: "12.5px", color: "var(--ink)", backgroundColor: "var(--sheet)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--ink)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--sheet)", color: "var(--soft)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in oklab, var(--well) 60%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--accent-wash)" },
  ".cm-tooltip": { backgroundColor: "var(--sheet)", color: "var(--ink)", border: "1px solid var(--rule)", borderRadius: "6px", fontFamily: "var(--font-sans)" },
  ".cm-panels": { backgroundColor: "var(--well)", color: "var(--ink)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--well)", border: "none", color: "var(--soft)" },
});

export interface Finding {
  /** From 1. */
  line: number;
  column: number;
  message: string;
  isError: boolean;
}

interface Props {
  value: string;
  onChange?: (value: string) => void;
  mode: Mode;
  label: string;
  readOnly?: boolean;
  findings?: Finding[];
  className?: string;
}

function diagnostics(state: EditorState, findings: Finding[]): Diagnostic[] {
  return findings.map((found) => {
    const line = state.doc.line(Math.min(Math.max(1, found.line), state.doc.lines));
    const from = Math.min(line.from + Math.max(0, found.column - 1), line.to);
    return { from, to: Math.max(from, line.to), severity: found.isError ? "error" : "warning", message: found.message };
  });
}

export function Editor({ value, onChange, mode, label, readOnly = false, findings, className }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const changed = useRef(onChange);
  changed.current = onChange;
  const parts = useRef({ mode: new Compartment(), readOnly: new Compartment() });
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const made = new EditorView({
      parent: root as unknown as Element,
      root,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(), highlightActiveLine(), highlightSelectionMatches(),
          syntaxHighlighting(colours), lintGutter(), look, EditorView.lineWrapping,
          EditorState.tabSize.of(4),
          indentUnit.of(mode === "python" ? "    " : "  "),
          // Escape, then Tab leaves the editor.
          keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
          EditorView.contentAttributes.of({ "aria-label": label }),
          parts.current.mode.of(MODES[mode]()),
          parts.current.readOnly.of(EditorState.readOnly.of(readOnly)),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed.current?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
    // The editor is made once; what changes afterwards is told to it below.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  useEffect(() => {
    const made = view.current;
    if (made && made.state.doc.toString() !== value) made.dispatch({ changes: { from: 0, to: made.state.doc.length, insert: value } });
  }, [value]);
  useEffect(() => {
    view.current?.dispatch({ effects: [parts.current.mode.reconfigure(MODES[mode]()), parts.current.readOnly.reconfigure(EditorState.readOnly.of(readOnly))] });
  }, [mode, readOnly]);
  useEffect(() => {
    const made = view.current;
    if (made) made.dispatch(setDiagnostics(made.state, diagnostics(made.state, findings ?? [])));
  }, [findings, value]);
  return <div ref={host} className={`cm-host overflow-hidden rounded-md border border-rule ${className ?? "h-64"}`} />;
}
