// Server-sent events over fetch, since EventSource sends no token: read, taken up again after the last event
// when the server was away, ended by the event that says so.
import { Unreachable, send } from "./client";
import { lost } from "./connection";

export interface Event {
  id: string;
  name: string;
  data: string;
}

/** Text as it comes in pieces, made events of. */
export class Parser {
  private rest = "";

  feed(piece: string): Event[] {
    const blocks = (this.rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => {
      const event: Event = { id: "", name: "message", data: "" };
      const data: string[] = [];
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon <= 0) continue;
        const field = line.slice(0, colon);
        const value = line.slice(colon + 1).replace(/^ /, "");
        if (field === "id") event.id = value;
        else if (field === "event") event.name = value;
        else if (field === "data") data.push(value);
      }
      event.data = data.join("\n");
      return data.length > 0 || event.name !== "message" ? [event] : [];
    });
  }
}

const AGAIN_MS = 1_000;

export interface Following {
  path: string;
  signal: AbortSignal;
  onEvent: (event: Event) => void;
  /** The stream is open, also after a break. */
  onOpen?: () => void;
}

/** Follows until the server says `end`, refuses, or `signal` does. */
export async function follow({ path, signal, onEvent, onOpen }: Following): Promise<void> {
  let last = "";
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { accept: "text/event-stream" };
      if (last) headers["last-event-id"] = last;
      const answer = await send(path, { headers, signal });
      onOpen?.();
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser();
      while (reader) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const event of parser.feed(value)) {
          if (event.id) last = event.id;
          onEvent(event);
          if (event.name === "end") return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unreachable) && !(error instanceof TypeError)) throw error;
      lost();
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
