// Addresses and their pages. Pages are fetched when somebody goes there; the first load is the frame and Home.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { useSession } from "../api/session";
import { useLanguage } from "../i18n";
import { parseSearch, stringifySearch } from "../state/search";
import { SignIn } from "../pages/sign-in";
import { Broken, Nowhere } from "../pages/nowhere";
import { Skeleton } from "../ui/kit";
import { Shell } from "./shell";

function Root() {
  const session = useSession();
  const language = useLanguage();
  // Everything is drawn anew in another language or for somebody else: no part may keep what was there.
  return session ? <Shell key={`${language}-${session.who.keyId}`} /> : <SignIn key={language} />;
}

const root = createRootRoute({ component: Root, notFoundComponent: Nowhere, errorComponent: Broken });
const tasks = () => import("../pages/tasks");
const functions = () => import("../pages/functions");
const flows = () => import("../pages/flows");

const at = (path: string, component: ReturnType<typeof lazyRouteComponent>) => createRoute({ getParentRoute: () => root, path, component });

const routes = [
  at("/", lazyRouteComponent(() => import("../pages/home"), "Home")),
  at("/tasks", lazyRouteComponent(tasks, "Tasks")),
  at("/tasks/$task", lazyRouteComponent(() => import("../pages/task"), "TaskPage")),
  at("/functions", lazyRouteComponent(functions, "Functions")),
  at("/functions/new", lazyRouteComponent(() => import("../pages/function-new"), "FunctionNew")),
  at("/functions/$name", lazyRouteComponent(() => import("../pages/function"), "FunctionPage")),
  at("/functions/$name/$tab", lazyRouteComponent(() => import("../pages/function"), "FunctionPage")),
  at("/flows", lazyRouteComponent(flows, "Flows")),
  at("/flows/executions", lazyRouteComponent(flows, "AllExecutions")),
  at("/flows/new", lazyRouteComponent(() => import("../pages/flow"), "FlowNew")),
  at("/flows/$name", lazyRouteComponent(() => import("../pages/flow"), "FlowPage")),
  at("/flows/$name/$tab", lazyRouteComponent(() => import("../pages/flow"), "FlowPage")),
  at("/flows/$name/executions/$execution", lazyRouteComponent(() => import("../pages/execution"), "ExecutionPage")),
  at("/logs", lazyRouteComponent(() => import("../pages/logs"), "Logs")),
  at("/capacity", lazyRouteComponent(() => import("../pages/capacity"), "Capacity")),
  at("/capacity/$tab", lazyRouteComponent(() => import("../pages/capacity"), "Capacity")),
  at("/accounts", lazyRouteComponent(() => import("../pages/accounts"), "Accounts")),
  at("/accounts/$tab", lazyRouteComponent(() => import("../pages/accounts"), "Accounts")),
  at("/settings", lazyRouteComponent(() => import("../pages/settings"), "Settings")),
];

export const router = createRouter({
  routeTree: root.addChildren(routes),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPendingComponent: () => <Skeleton rows={6} />,
  scrollRestoration: true,
});
