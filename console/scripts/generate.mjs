// Writes src/api/generated.ts from docs/reference/openapi.json: the types of /v1, and for each operation its
// address and what a caller needs for it. `--check` compares instead.
import { readFileSync, writeFileSync } from "node:fs";

const root = new URL("../../", import.meta.url);
const target = new URL("../src/api/generated.ts", import.meta.url);
const document = JSON.parse(readFileSync(new URL("docs/reference/openapi.json", root), "utf8"));

const name = (ref) => ref.split("/").at(-1);
const key = (text) => (/^[A-Za-z_$][\w$]*$/.test(text) ? text : JSON.stringify(text));
const union = (parts) => [...new Set(parts)].join(" | ");

/** A schema as a type. */
function type(schema) {
  if (schema.$ref) return name(schema.$ref);
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return union(several.map(type));
  if (schema.allOf) return schema.allOf.map(type).join(" & ");
  if (Array.isArray(schema.type)) {
    return union(schema.type.map((one) => type({ ...schema, type: one })));
  }
  switch (schema.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array":
      return `Array<${type(schema.items ?? {})}>`;
    case "object":
      return object(schema);
    default:
      return schema.properties ? object(schema) : "unknown";
  }
}

function object(schema) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([field, inner]) => {
    const about = inner.description ? `  /** ${inner.description.replaceAll("*/", "").trim()} */\n` : "";
    return `${about}  ${key(field)}${required.has(field) ? "" : "?"}: ${type(inner)};`;
  });
  if (fields.length > 0) return `{\n${fields.join("\n")}\n}`;
  const values = schema.additionalProperties;
  return `Record<string, ${values && values !== true ? type(values) : "unknown"}>`;
}

/** What a body or an answer holds: JSON as its type, anything else as what it is. */
function content(part) {
  const all = part?.content ?? {};
  if (all["application/json"]?.schema) return type(all["application/json"].schema);
  if (all["text/plain"]) return "string";
  return "undefined";
}

const lines = [
  "// Written by scripts/generate.mjs from docs/reference/openapi.json; not by hand.",
  "",
];
for (const [schema, described] of Object.entries(document.components.schemas)) {
  if (described.description) lines.push(`/** ${described.description.replaceAll("*/", "").trim()} */`);
  lines.push(`export type ${schema} = ${type(described)};`, "");
}

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);
lines.push("/** What a caller needs. */", `export type Need = ${union(operations.map(({ operation }) => JSON.stringify(operation["x-need"])))};`, "");
lines.push("/** Every operation of /v1. */", "export const OPERATIONS = {");
for (const { path, method, operation } of operations) {
  lines.push(`  ${operation.operationId}: { method: ${JSON.stringify(method)}, path: ${JSON.stringify(path)}, need: ${JSON.stringify(operation["x-need"])} },`);
}
lines.push("} as const;", "", "export type OperationId = keyof typeof OPERATIONS;", "");
lines.push("/** What each operation takes and gives. */", "export interface Operations {");
for (const { operation } of operations) {
  const of = (place) => (operation.parameters ?? []).filter((one) => one.in === place);
  const path = of("path").map((one) => `${key(one.name)}: string`).join("; ");
  const query = of("query").map((one) => `${key(one.name)}?: QueryValue`).join("; ");
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  lines.push(`  ${operation.operationId}: {`);
  lines.push(`    path: ${path ? `{ ${path} }` : "Nothing"};`);
  lines.push(`    query: ${query ? `{ ${query} }` : "Nothing"};`);
  lines.push(`    body: ${operation.requestBody ? content(operation.requestBody) : "undefined"};`);
  lines.push(`    answer: ${content(good?.[1])};`);
  lines.push("  };");
}
lines.push("}", "", "/** Several values are sent as several parameters. */");
lines.push("export type QueryValue = string | number | boolean | readonly string[] | undefined;", "");
lines.push("export type Nothing = Record<string, never>;", "");

const text = lines.join("\n");
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/api/generated.ts is not what docs/reference/openapi.json says; run `npm run generate`");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
