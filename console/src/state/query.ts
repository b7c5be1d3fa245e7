// How pages read: kept for a moment, read again while somebody looks, read anew when the server is back.
import { QueryClient, type UseQueryResult, keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { ApiError, call } from "../api/client";
import { onReturn } from "../api/connection";
import type { OperationId, Operations } from "../api/generated";

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      // What the server refused it will refuse again; what did not reach it is read when it is back.
      retry: false,
      refetchOnWindowFocus: true,
      networkMode: "always",
    },
    mutations: { retry: false, networkMode: "always" },
  },
});

onReturn(() => void client.invalidateQueries());

interface Asked<Id extends OperationId> {
  path?: Operations[Id]["path"];
  query?: Operations[Id]["query"];
  body?: Operations[Id]["body"];
}

interface Manner {
  /** Read again after so many milliseconds. */
  every?: number | false;
  enabled?: boolean;
  /** Show the last answer while another question is asked. */
  keep?: boolean;
}

/** One operation of /v1 that reads. */
export function useCall<Id extends OperationId>(id: Id, asked: Asked<Id> = {}, { every = false, enabled = true, keep = false }: Manner = {}): UseQueryResult<Operations[Id]["answer"]> {
  return useQuery({
    queryKey: [id, asked],
    queryFn: ({ signal }) => call(id, { ...asked, signal }),
    refetchInterval: (query) => (query.state.error instanceof ApiError && query.state.error.status < 500 ? false : every),
    enabled,
    ...(keep ? { placeholderData: keepPreviousData } : {}),
  }) as UseQueryResult<Operations[Id]["answer"]>;
}

type Paged = { items: unknown[]; next?: string | null };
type PagedId = { [Id in OperationId]: Operations[Id]["answer"] extends Paged ? (Operations[Id]["query"] extends { cursor?: unknown } ? Id : never) : never }[OperationId];
export type ItemOf<Id extends PagedId> = Operations[Id]["answer"] extends { items: Array<infer Item> } ? Item : never;

/** A listing, page after page. */
export function usePages<Id extends PagedId>(id: Id, asked: Asked<Id> = {}, { every = false, enabled = true, limit = 200 }: Manner & { limit?: number } = {}) {
  const query = useInfiniteQuery({
    queryKey: [id, "pages", asked],
    queryFn: ({ pageParam, signal }) => call(id, { ...asked, query: { ...asked.query, limit, cursor: pageParam || undefined } as Operations[Id]["query"], signal }),
    initialPageParam: "",
    getNextPageParam: (last) => (last as Paged).next ?? undefined,
    // Only the first page is looked at again and again; who has scrolled down reads the past.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) <= 1 ? every : false),
    enabled,
    placeholderData: keepPreviousData,
  });
  const items = (query.data?.pages ?? []).flatMap((page) => (page as Paged).items) as Array<ItemOf<Id>>;
  return { ...query, items, data: query.data ? items : undefined };
}

/** The largest page of every listing, and how many pages are read of one that is shown whole. */
const WHOLE_LIMIT = 100;
const WHOLE_PAGES = 20;

/** A listing as a whole, for what an account has some of: functions, keys. */
export function useWhole<Id extends PagedId>(id: Id, { every = false, enabled = true }: Manner = {}): UseQueryResult<Operations[Id]["answer"]> {
  return useQuery({
    queryKey: [id, "whole"],
    queryFn: async ({ signal }) => {
      const items: unknown[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < WHOLE_PAGES; page += 1) {
        const found = (await call(id, { query: { limit: WHOLE_LIMIT, cursor } as Operations[Id]["query"], signal })) as Paged;
        items.push(...found.items);
        if (!found.next) break;
        cursor = found.next;
      }
      return { items };
    },
    refetchInterval: (query) => (query.state.error instanceof ApiError && query.state.error.status < 500 ? false : every),
    enabled,
  }) as UseQueryResult<Operations[Id]["answer"]>;
}

/** Reads again whatever these operations gave. */
export function reread(...ids: string[]): Promise<unknown> {
  return Promise.all(ids.map((id) => client.invalidateQueries({ queryKey: [id] })));
}
