// Items of listings, which the document describes inside their pages.
import type { Operations } from "./generated";

type ItemsOf<Id extends keyof Operations> = Operations[Id]["answer"] extends { items: Array<infer Item> } ? Item : never;

export type LogLine = ItemsOf<"searchLogs">;
export type AuditEntry = ItemsOf<"listAudit">;
export type ExecutionEvent = ItemsOf<"executionHistory">;
export type Usage = ItemsOf<"listUsage">;
export type Setting = ItemsOf<"getConfig">;
