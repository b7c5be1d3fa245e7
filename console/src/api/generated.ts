// Written by scripts/generate.mjs from docs/reference/openapi.json; not by hand.

/** An account: the tenant boundary. */
export type Account = {
  /** Its 16-digit number. */
  id: string;
  /** Unique in the installation. */
  name: string;
  /** For people. */
  display?: string;
  /** When it was created. */
  createdAt: Time;
  /** When it last changed. */
  modifiedAt: Time;
  disabledAt?: Time | null;
  /** What it may take. */
  limits: AccountLimits;
  usage?: AccountUsage | null;
};

/** What an account may use in a period. */
export type AccountBudget = {
  /** In compute units (see `Usage`). */
  units: number;
  /** `day` or `month` (if absent), in UTC. */
  period?: string;
};

/** A new account. */
export type AccountCreate = {
  /** Unique in the installation; letters, digits, `_` and `-`. */
  name: string;
  /** For people. */
  display?: string;
  /** What it may take; defaults where absent. */
  limits?: AccountLimits;
};

/** What an account may take. In a PATCH, absent fields stay as they are. */
export type AccountLimits = {
  /** Most instances at once; `reservedConcurrency` is carved out of it. */
  instancesMax?: number | null;
  /** Most attempts and calls running at once; 0 in a PATCH: no bound. */
  concurrencyMax?: number | null;
  rate?: RateLimit | null;
  /** Weight in the fair share between accounts; 100 unless said. */
  weight?: number | null;
  /** Most tasks waiting; 0 in a PATCH: no bound. */
  tasksQueuedMax?: number | null;
  /** Most bytes of code, layers, and payloads and results in the blob store; 0 in a PATCH: no bound. */
  storageBytesMax?: number | null;
  /** Most functions. */
  functionsMax?: number | null;
  budget?: AccountBudget | null;
};

/** A change of an account; absent fields stay as they are. */
export type AccountPatch = {
  /** For people. */
  display?: string | null;
  /** Switch it off or on. */
  disabled?: boolean | null;
  limits?: AccountLimits | null;
};

/** What an account has taken of what is limited. */
export type AccountUsage = {
  /** Bytes of code, layers, objects, and payloads and results in the blob store: what
`storageBytesMax` bounds. */
  storageBytes: number;
  /** Of these, code packages and layers. */
  codeBytes: number;
  /** Of these, payloads and results. */
  taskBytes: number;
  /** Of these, objects and parts of uploads. */
  objectBytes: number;
  /** Functions. */
  functions: number;
  /** Compute units of the budget's period, when there is a budget. */
  budgetUnits?: number | null;
  budgetRenewsAt?: Time | null;
};

/** One try at a task. */
export type Attempt = {
  /** 1, 2, … */
  number: number;
  /** Which node. */
  node: string;
  /** Which instance. */
  instance?: string | null;
  /** Which revision of the function. */
  revision: string;
  /** How it ended: `ok`, `userError`, `throttled`, `systemError`, `stopped`; absent while it runs. */
  outcome?: string | null;
  error?: TaskError | null;
  /** Whether an instance was started for it. */
  cold: boolean;
  /** Eligible since. */
  queuedAt: Time;
  startedAt?: Time | null;
  endedAt?: Time | null;
  /** The five phases. */
  phases: Phases;
  /** Peak memory of the instance in MB. */
  memoryMb: number;
  /** CPU time. */
  cpuMs: number;
};

/** The waiting tasks of a function. */
export type Backlog = {
  /** The function. */
  function: string;
  /** Tasks that could start now. */
  waiting: number;
  /** Tasks put off by a delay, a backoff or dependencies. */
  delayed: number;
  /** Attempts that run. */
  running: number;
  /** Instances it has, those being started included. */
  instances: number;
  /** Instances its demand asks for: starts a second times the mean time of each, by the slots of one, and
one more (docs/adr/0018). Idle ones above it end. */
  wanted: number;
  /** Starts a second over the last minute. */
  startsPerSecond: number;
  /** Slots that those keep busy on average. */
  load: number;
  /** Waiting tasks by priority class, 0 to 9. */
  byPriority: Array<number>;
  oldestAt?: Time | null;
  /** Whether it is paused. */
  paused: boolean;
  /** A stable word for what holds it back, if something does. */
  heldBy?: string | null;
  /** The same for a person. */
  sentence?: string | null;
};

/** What became of one task of a batch: accepted (`uid`, `taskId`, `requestId`) or refused (`code`,
`message`). */
export type BatchItem = TaskAccepted | BatchRefusal;

/** What happens when one task of a batch is refused. */
export type BatchMode = "allOrNothing" | "perItem";

/** Why one task of a batch was not accepted. */
export type BatchRefusal = {
  /** The stable code. */
  code: string;
  /** For a person. */
  message: string;
};

/** What became of a batch. */
export type BatchResult = {
  /** How many were accepted. */
  accepted: number;
  /** How many were refused; zero in mode `allOrNothing`. */
  refused: number;
  /** In the order of the request. */
  results: Array<BatchItem>;
};

/** Up to 10,000 tasks of one function. */
export type BatchSubmit = {
  /** What happens when one of them is refused. */
  mode?: BatchMode;
  /** In order. */
  tasks: Array<TaskSubmit>;
};

/** Stops or retries every task that meets a filter. */
export type BulkRequest = {
  /** Which tasks. */
  filter: TaskFilter;
  /** Only say what would be done. */
  dryRun?: boolean;
  /** Why, for the history. */
  reason?: string;
};

/** What a bulk request did, or would do. */
export type BulkResult = {
  /** How many tasks meet the filter. */
  matched: number;
  /** How many were changed; zero in a dry run. */
  changed: number;
  /** Own ids of some of them. */
  sample: Array<string>;
};

/** Until when a message is to be hidden. */
export type ChangeVisibility = {
  /** The holder's. */
  receipt: string;
  /** From now on: 0 (seen at once) to 12 hours. */
  visibility: Seconds;
};

/** The new receipt. */
export type ChangedVisibility = {
  /** The old one is good no more. */
  receipt: string;
  /** Until then the message is hidden. */
  visibleAt: Time;
};

/** What becomes of a message that nobody can handle. */
export type DeadLetterPolicy = {
  /** The queue it goes to. */
  queue: string;
  /** After so many receipts, 1 to 1,000. */
  maxReceives: number;
};

/** Messages to be deleted. */
export type DeleteMessages = {
  /** 1 to 16. */
  receipts: Array<string>;
};

/** What became of a message to be deleted. */
export type DeletedMessage = {
  /** As it was asked for. */
  receipt: string;
  /** The code of why it was not deleted. */
  error?: string | null;
  /** The same for a person. */
  message?: string | null;
};

/** What was deleted, in the order asked for. */
export type DeletedMessages = {
  /** One for each. */
  results: Array<DeletedMessage>;
};

/** A task that must end first. */
export type DependsOn = {
  /** Its `uid`, `function/taskId`, or `taskId` alone for one of the same function; in a batch also
that of another item, before or after this one. */
  task: string;
  /** What it takes. */
  when?: DependsWhen;
};

/** What a dependency waits for. */
export type DependsWhen = "succeeded" | "ended";

/** What a refused or failed request is answered with. */
export type Envelope = {
  /** A stable code; `docs/reference/errors.md` has a section for each. */
  Code: string;
  /** For a person: what happened and what to do. */
  Message: string;
  /** The request's id. */
  RequestId?: string;
};

/** An execution. */
export type Execution = {
  /** Its own id, unique in the installation. */
  id: string;
  /** Its flow. */
  flow: string;
  /** Its name, unique in its flow. */
  name: string;
  /** `Running`, `Succeeded`, `Failed`, `TimedOut` or `Stopped`. */
  status: string;
  /** Whether it has ended. */
  ended: boolean;
  /** `Standard` or `Express`. */
  mode: string;
  /** The version that runs, where one was chosen. */
  version?: string | null;
  /** The alias it was started through. */
  alias?: string | null;
  /** When it began. */
  startedAt: Time;
  endedAt?: Time | null;
  /** Error name, of one that did not succeed. */
  error?: string | null;
  /** What went wrong, in words. */
  cause?: string | null;
  /** How often it ran again from where it failed. */
  redrives?: number;
  /** For a child of a distributed map: the map run. */
  mapRun?: string | null;
  /** Labels. */
  tags?: Record<string, string>;
  /** Its input; left out of listings. */
  input?: unknown;
  /** Its output, once it succeeded; left out of listings. */
  output?: unknown;
  /** The definition it runs; left out of listings. */
  definition?: string | null;
};

/** An execution to be started. */
export type ExecutionStart = {
  /** Its name, once per flow; one is made if absent. The same name while it runs is that execution. */
  name?: string | null;
  /** Its input; `{}` if absent. */
  input?: unknown;
  /** A version or an alias; the flow as it is now if absent. */
  qualifier?: string | null;
  /** Labels to find it by. */
  tags?: Record<string, string>;
};

/** Why an execution is stopped. */
export type ExecutionStop = {
  /** Error name to record. */
  error?: string | null;
  /** Text to record. */
  cause?: string | null;
};

/** Why an execution is where it is. */
export type ExecutionWhy = {
  /** Its flow. */
  flow: string;
  /** Its name. */
  name: string;
  /** How it stands. */
  status: string;
  /** One line for people. */
  sentence: string;
  /** The steps it is in. */
  steps: Array<StepWhy>;
};

/** A flow. */
export type Flow = {
  /** Its own id; another flow of the same name, made later, has another. */
  id: string;
  /** Its name. */
  name: string;
  /** `FDL`, `CloudFlow` or `States Language`. */
  dialect: string;
  /** `Standard` or `Express`. */
  mode: string;
  /** What it is for. */
  description: string;
  /** Recorded with its executions. */
  role?: string;
  /** What expressions may read. */
  environment?: Record<string, string>;
  /** Labels. */
  tags?: Record<string, string>;
  /** The definition's text; left out of listings. */
  definition?: string | null;
  /** The version shown; absent for the flow as it is now. */
  version?: string | null;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
};

/** An alias of a flow. */
export type FlowAlias = {
  /** Its flow. */
  flow: string;
  /** Its name. */
  name: string;
  /** What it is for. */
  description: string;
  /** Where executions go. */
  routes: Array<FlowRoute>;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
};

/** An alias as it is to be. */
export type FlowAliasPut = {
  /** One route, or two. */
  routes: Array<FlowRoute>;
  /** What it is for. */
  description?: string;
};

/** A definition to be checked. */
export type FlowCheck = {
  /** The text, in any of the three languages. */
  definition: string;
  /** `Standard` (if absent) or `Express`. */
  mode?: string | null;
};

/** What is to be said about a definition. */
export type FlowChecked = {
  /** `FDL`, `CloudFlow` or `States Language`; absent when that cannot be told. */
  dialect?: string | null;
  /** Errors and warnings in the order of the text; without errors a flow can be made of it. */
  problems: Array<FlowProblem>;
  graph?: FlowGraph | null;
};

/** A flow to be made. */
export type FlowCreate = {
  /** Its name: a letter or underscore, then letters, digits, hyphens and underscores, 128 at most. */
  name: string;
  /** The definition's text, JSON or YAML, in any of the three dialects. */
  definition: string;
  /** What it is for. */
  description?: string;
  /** `Standard` (if absent) or `Express`. */
  mode?: string | null;
  /** Recorded with its executions. */
  role?: string;
  /** What expressions may read (`$Context.Environment.NAME`). */
  environment?: Record<string, string>;
  /** Labels. */
  tags?: Record<string, string>;
};

/** A flow as a graph, for consoles; of an execution also how each step stands. */
export type FlowGraph = {
  /** `FDL`, `CloudFlow` or `States Language`. */
  dialect: string;
  /** How the execution stands; absent for a flow. */
  status?: string | null;
  /** Lists of steps that run as one; the first is the flow itself. */
  scopes: Array<GraphScope>;
  /** Steps; scopes and edges name them by their place in this list. */
  steps: Array<GraphStep>;
  /** Ways between steps. */
  edges: Array<GraphEdge>;
};

/** What is to change about a flow; absent fields stay as they are. */
export type FlowPatch = {
  /** The definition's text; the mode cannot change. */
  definition?: string | null;
  /** What it is for. */
  description?: string | null;
  /** Recorded with its executions. */
  role?: string | null;
  /** All of it, in place of what is there. */
  environment?: Record<string, string> | null;
  /** All labels, in place of what is there. */
  tags?: Record<string, string> | null;
};

/** Something to be said about a place in a definition. */
export type FlowProblem = {
  /** Stable name of the kind of mistake. */
  code: string;
  /** It forbids the definition; else it is a warning. */
  isError: boolean;
  /** Where in the text, from 1. */
  line: number;
  /** In characters, from 1. */
  column: number;
  /** What is wrong. */
  message: string;
  /** What to do about it. */
  hint?: string | null;
};

/** A version to be published. */
export type FlowPublish = {
  /** What it is for. */
  description?: string;
};

/** Where a share of an alias's executions goes. */
export type FlowRoute = {
  /** A version's number. */
  version: string;
  /** In percent; all of an alias's add up to 100. */
  weight: number;
};

/** A published version of a flow. */
export type FlowVersion = {
  /** Its flow. */
  flow: string;
  /** Its number as text. */
  version: string;
  /** What it is for. */
  description: string;
  /** When it was published. */
  createdAt: Time;
};

/** Native limits of a function. A PUT replaces all of them; what is absent is unlimited. */
export type FunctionLimits = {
  /** Most attempts and calls running at once. */
  concurrencyMax?: number | null;
  rate?: RateLimit | null;
  /** Weight in the fair share between the functions of the account; 100 if absent. */
  weight?: number | null;
  /** Most attempts at once for one limit key. */
  keyConcurrencyMax?: number | null;
  keyRate?: RateLimit | null;
  /** A JSON Schema that task payloads must match at submit. */
  payloadSchema?: Record<string, unknown> | null;
  /** `false`: an attempt may start before its transition is committed (faster); `true`: never. */
  strictStart?: boolean;
};

/** A function in a listing. */
export type FunctionSummary = {
  /** Its name. */
  name: string;
  /** Its own id. */
  id: string;
  /** Its ARN. */
  arn: string;
  /** The runtime asked for. */
  runtime: string;
  /** `file.method` and the like. */
  handler: string;
  /** vCPU. */
  cpu: number;
  /** MB. */
  memoryMb: number;
  /** Bound of one attempt in seconds. */
  timeout: Seconds;
  /** Requests one instance serves at once. */
  instanceConcurrency: number;
  /** Newest published version; 0 before the first. */
  versionNewest: number;
  /** Bytes of code. */
  codeBytes: number;
  /** Labels. */
  tags?: Record<string, string>;
  /** Whether its backlog is paused. */
  paused: boolean;
  /** Why invocations are switched off, if they are. */
  disabled?: string | null;
  /** When it was created. */
  createdAt: Time;
  /** When it last changed. */
  modifiedAt: Time;
  /** Its native limits. */
  limits: FunctionLimits;
};

/** A way between steps. */
export type GraphEdge = {
  /** From this step. */
  from: number;
  /** To this one; absent at the end of the scope. */
  to?: number | null;
  /** `next`, `rule`, `default` or `catch`. */
  kind: string;
  /** In words: which rule, which errors. */
  label?: string;
};

/** A list of steps that run as one. */
export type GraphScope = {
  /** `machine`, `branch`, `iteration` or `block`. */
  kind: string;
  /** The step that holds it. */
  owner?: number | null;
  /** The first step. */
  start: number;
  /** All of them. */
  steps: Array<number>;
};

/** A step of a graph. */
export type GraphStep = {
  /** Its name. */
  name: string;
  /** `Task`, `Pass`, `Wait`, `Choice`, `Parallel`, `Map`, `Succeed` or `Fail`. */
  kind: string;
  /** The scope it lies in. */
  scope: number;
  /** Line of the definition. */
  line: number;
  /** What a task calls. */
  calls?: string | null;
  /** Whether a map's items run as executions of their own. */
  isDistributed: boolean;
  /** Retry rules. */
  retries: number;
  live?: StepLive | null;
};

/** Whether the server is well. */
export type Health = {
  /** `ok`, `starting` or `stopping`. */
  status: string;
  /** The server's version. */
  version: string;
};

/** A live (or lately ended) sandbox. */
export type Instance = {
  /** Its id. */
  id: string;
  /** Of which function. */
  function: string;
  /** `LATEST` or the version's number. */
  version: string;
  /** On which node. */
  node: string;
  /** `Creating`, `Running`, `Terminating` or `Destroyed`. */
  state: string;
  /** When it was begun. */
  createdAt: Time;
  destroyedAt?: Time | null;
  /** What the sandbox really enforces, in words. */
  enforced?: Array<string>;
  /** Why it ended. */
  reason?: string;
  /** Bytes it sent to the world outside through the node's proxy; known when it has ended. */
  sentBytes?: number;
  /** Bytes it received from there. */
  receivedBytes?: number;
};

/** A key, without its secret. */
export type Key = {
  /** The access key id. */
  id: string;
  /** The account it acts for. */
  account: string;
  /** `admin`, `developer`, `viewer` or `invoker`. */
  role: string;
  /** Function names and `prefix*` patterns it is narrowed to; empty: all. */
  functions?: Array<string>;
  /** `permanent`, `temporary` or `token`. */
  kind: string;
  /** What was said about it. */
  description?: string;
  /** The key that made it. */
  issuedBy?: string;
  /** When it was created. */
  createdAt: Time;
  rotatedAt?: Time | null;
  expiresAt?: Time | null;
  disabledAt?: Time | null;
};

/** A new key. */
export type KeyCreate = {
  /** For which account; absent: the caller's own. Others need an admin of the root account. */
  account?: string | null;
  /** `permanent` (signs requests; the default) or `token` (a bearer token). */
  kind?: string | null;
  /** `admin`, `developer`, `viewer` or `invoker`. */
  role: string;
  /** Narrows it to these function names and `prefix*` patterns. */
  functions?: Array<string>;
  /** For people. */
  description?: string;
  expiresIn?: Seconds | null;
};

/** A key that was just made: the only answer that carries its secrets. */
export type KeyCreated = Key & {
  /** What requests are signed with; keys that sign only. */
  secret?: string | null;
  /** To be sent with each request as `x-acs-security-token`; temporary keys only. */
  securityToken?: string | null;
  /** To be sent as `Authorization: Bearer …`; tokens only. */
  token?: string | null;
};

/** A change of a key. */
export type KeyPatch = {
  /** Switch it off or on. */
  disabled?: boolean | null;
};

/** A temporary key: the caller's own rights or fewer, for a while. */
export type KeyTemporary = {
  /** The role, not above the caller's; absent: the caller's. */
  role?: string | null;
  /** Narrows it to these function names and `prefix*` patterns. */
  functions?: Array<string>;
  expiresIn?: Seconds | null;
  /** For people. */
  description?: string;
};

/** A master key was replaced. */
export type MasterKeyRotated = {
  /** The number of the new one. */
  masterKey: number;
  /** Secrets that were sealed again. */
  sealed: number;
};

/** A machine that hosts instances. */
export type Node = {
  /** Its id. */
  id: string;
  /** vCPU it offers. */
  cpu: number;
  /** MB it offers. */
  memoryMb: number;
  /** vCPU taken by instances. */
  cpuUsed: number;
  /** MB taken by instances. */
  memoryMbUsed: number;
  /** Instances, those being started included. */
  instances: number;
  /** Of these, being started. */
  starting: number;
  /** Attempts and calls that run on it. */
  running: number;
  /** Of these, calls somebody waits for (class online); the rest is batch. */
  runningOnline: number;
};

/** What goes on in the account now; what `stint top` shows. */
export type Overview = {
  /** The server's time. */
  now: Time;
  /** Since when the server runs. */
  startedAt: Time;
  /** The server's version. */
  version: string;
  /** Functions of the account. */
  functions: number;
  /** Tasks that could start now. */
  waiting: number;
  /** Tasks put off. */
  delayed: number;
  /** Attempts that run. */
  running: number;
  /** Live instances. */
  instances: number;
  /** Tasks submitted since the server started; clients derive rates. */
  submittedTotal: number;
  /** Attempts started since then. */
  startedTotal: number;
  /** Tasks that ended well since then. */
  succeededTotal: number;
  /** Tasks that ended otherwise since then. */
  failedTotal: number;
  /** The functions with the longest backlogs. */
  backlogs: Array<Backlog>;
  /** The nodes. */
  nodes: Array<Node>;
};

/** One page of a listing. */
export type Page_Account = {
  /** In the order asked for. */
  items: Array<{
  /** Its 16-digit number. */
  id: string;
  /** Unique in the installation. */
  name: string;
  /** For people. */
  display?: string;
  /** When it was created. */
  createdAt: Time;
  /** When it last changed. */
  modifiedAt: Time;
  disabledAt?: Time | null;
  /** What it may take. */
  limits: AccountLimits;
  usage?: AccountUsage | null;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_AuditEntry = {
  /** In the order asked for. */
  items: Array<{
  /** When. */
  at: Time;
  /** With which key. */
  keyId: string;
  /** The action (`fc:UpdateFunction`, `stint:UpdateKey` …). */
  action: string;
  /** What it was done to. */
  resource: string;
  /** The request that asked for it, if known. */
  requestId?: string | null;
  /** What else is worth telling. */
  detail?: string;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Backlog = {
  /** In the order asked for. */
  items: Array<{
  /** The function. */
  function: string;
  /** Tasks that could start now. */
  waiting: number;
  /** Tasks put off by a delay, a backoff or dependencies. */
  delayed: number;
  /** Attempts that run. */
  running: number;
  /** Instances it has, those being started included. */
  instances: number;
  /** Instances its demand asks for: starts a second times the mean time of each, by the slots of one, and
one more (docs/adr/0018). Idle ones above it end. */
  wanted: number;
  /** Starts a second over the last minute. */
  startsPerSecond: number;
  /** Slots that those keep busy on average. */
  load: number;
  /** Waiting tasks by priority class, 0 to 9. */
  byPriority: Array<number>;
  oldestAt?: Time | null;
  /** Whether it is paused. */
  paused: boolean;
  /** A stable word for what holds it back, if something does. */
  heldBy?: string | null;
  /** The same for a person. */
  sentence?: string | null;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Execution = {
  /** In the order asked for. */
  items: Array<{
  /** Its own id, unique in the installation. */
  id: string;
  /** Its flow. */
  flow: string;
  /** Its name, unique in its flow. */
  name: string;
  /** `Running`, `Succeeded`, `Failed`, `TimedOut` or `Stopped`. */
  status: string;
  /** Whether it has ended. */
  ended: boolean;
  /** `Standard` or `Express`. */
  mode: string;
  /** The version that runs, where one was chosen. */
  version?: string | null;
  /** The alias it was started through. */
  alias?: string | null;
  /** When it began. */
  startedAt: Time;
  endedAt?: Time | null;
  /** Error name, of one that did not succeed. */
  error?: string | null;
  /** What went wrong, in words. */
  cause?: string | null;
  /** How often it ran again from where it failed. */
  redrives?: number;
  /** For a child of a distributed map: the map run. */
  mapRun?: string | null;
  /** Labels. */
  tags?: Record<string, string>;
  /** Its input; left out of listings. */
  input?: unknown;
  /** Its output, once it succeeded; left out of listings. */
  output?: unknown;
  /** The definition it runs; left out of listings. */
  definition?: string | null;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_ExecutionEvent = {
  /** In the order asked for. */
  items: Array<{
  /** Counts from one, without gaps. */
  id: number;
  /** The event that caused it; 0 for the first. */
  previous: number;
  /** When. */
  at: Time;
  /** What happened, in the words of the definition's API. */
  type: string;
  /** The step; empty for events about the execution. */
  step?: string;
  /** What upstream records with it. */
  detail: unknown;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Flow = {
  /** In the order asked for. */
  items: Array<{
  /** Its own id; another flow of the same name, made later, has another. */
  id: string;
  /** Its name. */
  name: string;
  /** `FDL`, `CloudFlow` or `States Language`. */
  dialect: string;
  /** `Standard` or `Express`. */
  mode: string;
  /** What it is for. */
  description: string;
  /** Recorded with its executions. */
  role?: string;
  /** What expressions may read. */
  environment?: Record<string, string>;
  /** Labels. */
  tags?: Record<string, string>;
  /** The definition's text; left out of listings. */
  definition?: string | null;
  /** The version shown; absent for the flow as it is now. */
  version?: string | null;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_FlowAlias = {
  /** In the order asked for. */
  items: Array<{
  /** Its flow. */
  flow: string;
  /** Its name. */
  name: string;
  /** What it is for. */
  description: string;
  /** Where executions go. */
  routes: Array<FlowRoute>;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_FlowVersion = {
  /** In the order asked for. */
  items: Array<{
  /** Its flow. */
  flow: string;
  /** Its number as text. */
  version: string;
  /** What it is for. */
  description: string;
  /** When it was published. */
  createdAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_FunctionSummary = {
  /** In the order asked for. */
  items: Array<{
  /** Its name. */
  name: string;
  /** Its own id. */
  id: string;
  /** Its ARN. */
  arn: string;
  /** The runtime asked for. */
  runtime: string;
  /** `file.method` and the like. */
  handler: string;
  /** vCPU. */
  cpu: number;
  /** MB. */
  memoryMb: number;
  /** Bound of one attempt in seconds. */
  timeout: Seconds;
  /** Requests one instance serves at once. */
  instanceConcurrency: number;
  /** Newest published version; 0 before the first. */
  versionNewest: number;
  /** Bytes of code. */
  codeBytes: number;
  /** Labels. */
  tags?: Record<string, string>;
  /** Whether its backlog is paused. */
  paused: boolean;
  /** Why invocations are switched off, if they are. */
  disabled?: string | null;
  /** When it was created. */
  createdAt: Time;
  /** When it last changed. */
  modifiedAt: Time;
  /** Its native limits. */
  limits: FunctionLimits;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Instance = {
  /** In the order asked for. */
  items: Array<{
  /** Its id. */
  id: string;
  /** Of which function. */
  function: string;
  /** `LATEST` or the version's number. */
  version: string;
  /** On which node. */
  node: string;
  /** `Creating`, `Running`, `Terminating` or `Destroyed`. */
  state: string;
  /** When it was begun. */
  createdAt: Time;
  destroyedAt?: Time | null;
  /** What the sandbox really enforces, in words. */
  enforced?: Array<string>;
  /** Why it ended. */
  reason?: string;
  /** Bytes it sent to the world outside through the node's proxy; known when it has ended. */
  sentBytes?: number;
  /** Bytes it received from there. */
  receivedBytes?: number;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Key = {
  /** In the order asked for. */
  items: Array<{
  /** The access key id. */
  id: string;
  /** The account it acts for. */
  account: string;
  /** `admin`, `developer`, `viewer` or `invoker`. */
  role: string;
  /** Function names and `prefix*` patterns it is narrowed to; empty: all. */
  functions?: Array<string>;
  /** `permanent`, `temporary` or `token`. */
  kind: string;
  /** What was said about it. */
  description?: string;
  /** The key that made it. */
  issuedBy?: string;
  /** When it was created. */
  createdAt: Time;
  rotatedAt?: Time | null;
  expiresAt?: Time | null;
  disabledAt?: Time | null;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_LogLine = {
  /** In the order asked for. */
  items: Array<{
  /** When it was read. */
  at: Time;
  /** Of which function. */
  function: string;
  /** Of which request; empty for what an instance said between requests. */
  requestId: string;
  /** Which try, from 1. */
  attempt: number;
  /** Which instance. */
  instance: string;
  /** Without its newline. */
  text: string;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Queue = {
  /** In the order asked for. */
  items: Array<{
  /** Its name. */
  name: string;
  /** How long a sent message waits before it can be received. */
  delayMs: number;
  /** The largest body, in bytes. */
  messageBytesMax: number;
  /** How long a message is kept. */
  retentionMs: number;
  /** How long a received message is hidden from others. */
  visibilityMs: number;
  /** How long a receive waits that does not say. */
  waitMs: number;
  /** Kept and shown. */
  logging: boolean;
  deadLetter?: DeadLetterPolicy | null;
  /** Messages that can be received. */
  active: number;
  /** Messages that somebody holds. */
  inactive: number;
  /** Messages that were sent with a delay. */
  delayed: number;
  oldestAt?: Time | null;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Runtime = {
  /** In the order asked for. */
  items: Array<{
  /** The name functions use. */
  name: string;
  /** What runs them, as each node that has it says. */
  behind: string;
  /** Nodes that have it. */
  nodes: Array<string>;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Secret = {
  /** In the order asked for. */
  items: Array<{
  /** Its name in the account. */
  name?: string;
  /** When it was made. */
  createdAt?: Time;
  /** When it was changed last. */
  modifiedAt?: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Setting = {
  /** In the order asked for. */
  items: Array<{
  /** Its name. */
  name: string;
  /** Its value; secrets are not shown. */
  value: string;
  /** `default`, `file …`, `environment …` or `flag …`. */
  origin: string;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Subscription = {
  /** In the order asked for. */
  items: Array<{
  /** Its name. */
  name: string;
  /** The topic. */
  topic: string;
  /** Where it sends to. */
  endpoint: string;
  /** Only messages with this tag. */
  filterTag?: string | null;
  /** `BACKOFF_RETRY` or `EXPONENTIAL_DECAY_RETRY`. */
  strategy: string;
  /** `XML`, `JSON` or `SIMPLIFIED`. */
  format: string;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Task = {
  /** In the order asked for. */
  items: Array<{
  /** Its own id, unique in the installation. */
  uid: string;
  /** The id it goes by in its function. */
  taskId: string;
  /** Its function's name. */
  function: string;
  /** Through which qualifier it was submitted. */
  qualifier: string;
  /** Whose it is. */
  account: string;
  /** The submission's request id; the same through all attempts. */
  requestId: string;
  /** `Enqueued`, `Dequeued`, `Running`, `Retrying`, `Stopping`, `Succeeded`, `Failed`, `Stopped`,
`Expired` or `Invalid`. */
  state: string;
  /** Whether it has ended. */
  ended: boolean;
  /** Whether Function Compute's task API shows it. */
  taskMode: boolean;
  /** 0 (last) to 9 (first). */
  priority: number;
  /** Labels. */
  tags?: Record<string, string>;
  /** Its ordering key. */
  orderKey?: string | null;
  /** Its limit key. */
  limitKey?: string | null;
  /** When it was accepted. */
  submittedAt: Time;
  eligibleAt?: Time | null;
  startedAt?: Time | null;
  endedAt?: Time | null;
  expiresAt?: Time | null;
  /** Time in user code of the latest attempt. */
  durationMs: number;
  /** Tries so far, of every kind. */
  attemptsTotal: number;
  /** Retries charged to the user. */
  retries: number;
  /** Retries after throttling, platform failures and lost leases. */
  systemRetries: number;
  /** The latest tries, oldest first. */
  attempts?: Array<Attempt>;
  /** Transitions, oldest first. */
  events?: Array<TaskEvent>;
  /** Dependencies that still hold it back. */
  waitsFor?: Array<DependsOn>;
  error?: TaskError | null;
  progress?: Progress | null;
  /** What became of the destination: `none`, `pending`, `succeeded` or `failed`. */
  delivery: string;
  /** Why it was stopped, in the words of who did. */
  stopReason?: string | null;
  /** Bytes of the payload. */
  payloadBytes: number;
  /** Bytes of the result. */
  resultBytes: number;
  /** The payload, when asked for (`includePayload`) and it is text. */
  payload?: string | null;
  /** The result or error body, when asked for (`includeResult`, always for a single task) and it
is text of at most 1 MB. */
  result?: string | null;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Topic = {
  /** In the order asked for. */
  items: Array<{
  /** Its name. */
  name: string;
  /** The largest body, in bytes. */
  messageBytesMax: number;
  /** Kept and shown. */
  logging: boolean;
  /** How many subscriptions it has. */
  subscriptions: number;
  /** Notifications that are not delivered yet. */
  waiting: number;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Trigger = {
  /** In the order asked for. */
  items: Array<{
  /** Of which function. */
  function?: string;
  /** Its name in the function. */
  name?: string;
  /** Its id. */
  id?: string;
  /** Its kind, such as `timer` or `kafka`. */
  type?: string;
  /** Its configuration. */
  config?: Record<string, unknown>;
  /** Through which qualifier the function is called. */
  qualifier?: string;
  /** Free text. */
  description?: string;
  /** `exactly-once`, `at-least-once` or `lossy`: what it promises about an event when servers are killed. */
  promise?: string;
  /** `connecting`, `running`, `listening`, `held`, `backing-off`, `failed`, `paused` or `disabled`. */
  state?: string;
  /** Since when. */
  stateSince?: Time;
  /** Why it is held. */
  heldBy?: string | null;
  retryAt?: Time | null;
  /** The last failure; it stays when things go well again. */
  lastError?: string | null;
  lastErrorAt?: Time | null;
  /** Events that wait on the other side, where that is known. */
  lag?: number | null;
  /** Events in the last minute. */
  eventsLastMinute?: number;
  /** Events that were taken, ever. */
  events?: number;
  /** Of these, those that the filter let pass. */
  passed?: number;
  /** Of these, those that came again. */
  known?: number;
  /** Of these, those that the function cannot be given. */
  refused?: number;
  /** Tasks that were made. */
  tasks?: number;
  lastEventAt?: Time | null;
  /** The last task that was made. */
  lastTask?: string | null;
  /** Where its source is, in the source's words. */
  cursor?: string | null;
  /** When a timer fires next: ten moments. */
  next?: Array<Time>;
  /** Where it is called, if it is called. */
  url?: string | null;
  /** When it was made. */
  createdAt?: Time;
  /** When it was changed last. */
  modifiedAt?: Time;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** One page of a listing. */
export type Page_Usage = {
  /** In the order asked for. */
  items: Array<{
  /** From when, in UTC. */
  start: Time;
  /** Until when. */
  end: Time;
  /** Whose. */
  account: string;
  /** Of which function; empty: of all. */
  function: string;
  /** Attempts and calls, but for those the platform failed. */
  invocations: number;
  /** Instance seconds with something to do, hooks included. */
  activeSeconds: number;
  /** Instance seconds without. */
  idleSeconds: number;
  /** vCPU times active seconds. */
  vcpuSeconds: number;
  /** GB of memory times active seconds. */
  memoryGbSeconds: number;
  /** GB of memory times idle seconds. */
  idleMemoryGbSeconds: number;
  /** GB of disk beyond the free 512 MB times active seconds. */
  diskGbSeconds: number;
  /** Processor seconds that were really taken. */
  cpuUsedSeconds: number;
  /** Instance seconds of minimum instances with nothing to do; not part of the idle seconds. */
  keptSeconds: number;
  /** vCPU times these, where they have their processor meanwhile. */
  keptVcpuSeconds: number;
  /** GB of memory times these. */
  keptMemoryGbSeconds: number;
  /** GB of disk beyond the free 512 MB times these. */
  keptDiskGbSeconds: number;
  /** GB of a GPU's memory times active seconds. */
  gpuGbSeconds: number;
  /** GB of a GPU's memory times the seconds of minimum instances with nothing to do. */
  keptGpuGbSeconds: number;
  /** Compute units: 1 a vCPU second, 0.15 a GB second of memory, 0.05 of disk, 0.0075 an invocation, 1.2
to 2.31 a GB second of a GPU's memory by its type. */
  units: number;
}>;
  /** Give it back as `cursor` to get the next page; absent at the end. */
  next?: string | null;
};

/** Where an attempt's time went, in milliseconds. */
export type Phases = {
  /** From eligible to the scheduler's decision. */
  queuedMs: number;
  /** From the decision until an instance was chosen or begun. */
  placedMs: number;
  /** Until user code was entered; about zero when warm. */
  coldStartMs: number;
  /** In user code. */
  ranMs: number;
  /** Until the outcome was in the book. */
  settledMs: number;
};

/** How far a task says it is. */
export type Progress = {
  /** 0 to 100. */
  percent: number;
  /** A short message. */
  message: string;
  /** When it was said. */
  at: Time;
};

/** A report of progress from inside a task; also its heartbeat. */
export type ProgressReport = {
  /** 0 to 100. */
  percent?: number;
  /** A short message, at most 1,024 bytes. */
  message?: string;
};

/** What is published. */
export type PublishMessage = {
  /** Text that XML can carry. */
  body: string;
  /** For subscriptions that filter, 1 to 16 bytes. */
  tag?: string | null;
  /** Texts that notifications in JSON have beside the body. */
  attributes?: Record<string, string>;
  /** The publisher's own, at most 32; they reach queues. */
  properties?: Record<string, string>;
};

/** What was published. */
export type PublishedMessage = {
  /** Its id; every notification has it. */
  id: string;
  /** The MD5 of its body. */
  bodyMd5: string;
};

/** A message queue. */
export type Queue = {
  /** Its name. */
  name: string;
  /** How long a sent message waits before it can be received. */
  delayMs: number;
  /** The largest body, in bytes. */
  messageBytesMax: number;
  /** How long a message is kept. */
  retentionMs: number;
  /** How long a received message is hidden from others. */
  visibilityMs: number;
  /** How long a receive waits that does not say. */
  waitMs: number;
  /** Kept and shown. */
  logging: boolean;
  deadLetter?: DeadLetterPolicy | null;
  /** Messages that can be received. */
  active: number;
  /** Messages that somebody holds. */
  inactive: number;
  /** Messages that were sent with a delay. */
  delayed: number;
  oldestAt?: Time | null;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
};

/** What is said of a queue. */
export type QueuePatch = {
  delay?: Seconds | null;
  /** The largest body in bytes: 1,024 to the installation's bound; 65,536 if absent. */
  messageBytesMax?: number | null;
  retention?: Seconds | null;
  visibility?: Seconds | null;
  wait?: Seconds | null;
  /** Kept and shown. */
  logging?: boolean | null;
  deadLetter?: DeadLetterPolicy | null;
  /** `true`: messages stay however often they are received. */
  noDeadLetter?: boolean | null;
};

/** A rate: so many a second, saved up to a burst. */
export type RateLimit = {
  /** Starts per second, down to thousandths. */
  perSecond: number;
  /** The most saved up; at least 1. Absent: one second's worth. */
  burst?: number | null;
};

/** What is to be received. */
export type ReceiveMessages = {
  /** At most so many, 1 (if absent) to 16. */
  count?: number | null;
  wait?: Seconds | null;
};

/** A message. */
export type ReceivedMessage = {
  /** Its id. */
  id: string;
  /** What was sent. */
  body: string;
  /** The MD5 of its body. */
  bodyMd5: string;
  /** What its holder shows to delete it or keep it hidden; absent when it was only looked at. */
  receipt?: string | null;
  /** 1 to 16. */
  priority: number;
  /** When it was sent. */
  sentAt: Time;
  /** How often it was received. */
  received: number;
  firstReceivedAt?: Time | null;
  visibleAt?: Time | null;
  /** The sender's own. */
  properties?: Record<string, string>;
  /** Those with a meaning, such as where a dead letter came from. */
  systemProperties?: Record<string, string>;
};

/** Messages that were received or looked at. */
export type ReceivedMessages = {
  /** In the order in which they are received; none when nothing came. */
  messages: Array<ReceivedMessage>;
};

/** How failing tasks of a qualifier are retried, beyond what Function Compute lets one set. */
export type RetryPolicy = {
  /** Tries after the first, 0 to 100. */
  retries?: number | null;
  backoff?: Seconds | null;
  backoffCap?: Seconds | null;
  /** Error types that are final at once. */
  finalErrors?: Array<string> | null;
};

/** Seconds, or a text with a unit: 250ms, 90s, 5m, 2h, 7d. */
export type Seconds = number | string;

/** A secret by its name; what it says is never shown. */
export type Secret = {
  /** Its name in the account. */
  name?: string;
  /** When it was made. */
  createdAt?: Time;
  /** When it was changed last. */
  modifiedAt?: Time;
};

/** What a secret is to say from now on. */
export type SecretPut = {
  /** The secret text. */
  value: string;
};

/** A message to be sent. */
export type SendMessage = {
  /** Text that XML can carry; encode anything else, in base64 say. */
  body: string;
  delay?: Seconds | null;
  /** 1 to 16, lower is sooner; 8 if absent. */
  priority?: number | null;
  /** The sender's own, at most 32. */
  properties?: Record<string, string>;
};

/** Messages to be sent. */
export type SendMessages = {
  /** 1 to 16. */
  messages: Array<SendMessage>;
};

/** What became of a message to be sent: an id, or an error. */
export type SentMessage = {
  /** Its id. */
  id?: string | null;
  /** The MD5 of its body. */
  bodyMd5?: string | null;
  /** For a message with a delay: deletes it before it is seen. */
  receipt?: string | null;
  /** The code of what is wrong with it. */
  error?: string | null;
  /** The same for a person. */
  message?: string | null;
};

/** What was sent, in the order asked for. */
export type SentMessages = {
  /** One for each. */
  results: Array<SentMessage>;
};

/** A sign-in. */
export type SignIn = {
  expiresIn?: Seconds | null;
};

/** How a step stands in an execution. In loops and iterations one step is entered many times. */
export type StepLive = {
  /** `active` (entered and not left), `done`, `caught` (failed, and a handler went on), `failed` or
`aborted` (stopped because another failed). */
  state: string;
  /** How often it was entered. */
  visits: number;
  /** How often it failed, whether or not it was caught. */
  failed: number;
};

/** What one step waits for. */
export type StepWhy = {
  /** Its name. */
  step: string;
  /** History event with which it was entered. */
  entered: number;
  /** Retries so far. */
  retries: number;
  /** `turn`, `evaluation`, `call`, `time`, `retry`, `threads`, `mapRun` or `redrive`. */
  cause: string;
  /** For people. */
  sentence: string;
  until?: Time | null;
  /** The task it waits for; `stint why TASK` goes on from here. */
  task?: string | null;
  /** The execution it waits for, as `flow/name`. */
  execution?: string | null;
};

/** A request to stop a task. */
export type StopRequest = {
  /** Why, for the history. */
  reason?: string;
};

/** A subscription. */
export type Subscription = {
  /** Its name. */
  name: string;
  /** The topic. */
  topic: string;
  /** Where it sends to. */
  endpoint: string;
  /** Only messages with this tag. */
  filterTag?: string | null;
  /** `BACKOFF_RETRY` or `EXPONENTIAL_DECAY_RETRY`. */
  strategy: string;
  /** `XML`, `JSON` or `SIMPLIFIED`. */
  format: string;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
};

/** A subscription to be made. */
export type SubscriptionPut = {
  /** `http://…`, `https://…`, `acs:mns:REGION:ACCOUNT:queues/QUEUE` or
`acs:fc:REGION:ACCOUNT:functions/FUNCTION[.QUALIFIER]`. */
  endpoint: string;
  /** Only messages with this tag; all if absent. */
  filterTag?: string | null;
  /** `BACKOFF_RETRY` (if absent) or `EXPONENTIAL_DECAY_RETRY`. */
  strategy?: string | null;
  /** `XML` (if absent), `JSON` or `SIMPLIFIED`. */
  format?: string | null;
};

/** A task. */
export type Task = {
  /** Its own id, unique in the installation. */
  uid: string;
  /** The id it goes by in its function. */
  taskId: string;
  /** Its function's name. */
  function: string;
  /** Through which qualifier it was submitted. */
  qualifier: string;
  /** Whose it is. */
  account: string;
  /** The submission's request id; the same through all attempts. */
  requestId: string;
  /** `Enqueued`, `Dequeued`, `Running`, `Retrying`, `Stopping`, `Succeeded`, `Failed`, `Stopped`,
`Expired` or `Invalid`. */
  state: string;
  /** Whether it has ended. */
  ended: boolean;
  /** Whether Function Compute's task API shows it. */
  taskMode: boolean;
  /** 0 (last) to 9 (first). */
  priority: number;
  /** Labels. */
  tags?: Record<string, string>;
  /** Its ordering key. */
  orderKey?: string | null;
  /** Its limit key. */
  limitKey?: string | null;
  /** When it was accepted. */
  submittedAt: Time;
  eligibleAt?: Time | null;
  startedAt?: Time | null;
  endedAt?: Time | null;
  expiresAt?: Time | null;
  /** Time in user code of the latest attempt. */
  durationMs: number;
  /** Tries so far, of every kind. */
  attemptsTotal: number;
  /** Retries charged to the user. */
  retries: number;
  /** Retries after throttling, platform failures and lost leases. */
  systemRetries: number;
  /** The latest tries, oldest first. */
  attempts?: Array<Attempt>;
  /** Transitions, oldest first. */
  events?: Array<TaskEvent>;
  /** Dependencies that still hold it back. */
  waitsFor?: Array<DependsOn>;
  error?: TaskError | null;
  progress?: Progress | null;
  /** What became of the destination: `none`, `pending`, `succeeded` or `failed`. */
  delivery: string;
  /** Why it was stopped, in the words of who did. */
  stopReason?: string | null;
  /** Bytes of the payload. */
  payloadBytes: number;
  /** Bytes of the result. */
  resultBytes: number;
  /** The payload, when asked for (`includePayload`) and it is text. */
  payload?: string | null;
  /** The result or error body, when asked for (`includeResult`, always for a single task) and it
is text of at most 1 MB. */
  result?: string | null;
};

/** What was accepted: durable when you read this. */
export type TaskAccepted = {
  /** The task's own id, unique in the installation. */
  uid: string;
  /** The id it goes by in its function: the chosen one, else its `uid`. */
  taskId: string;
  /** The submission's request id. */
  requestId: string;
  /** Whether Function Compute's task API shows it (task mode). */
  taskMode: boolean;
};

/** How many tasks meet a filter. */
export type TaskCount = {
  /** So many. */
  count: number;
};

/** What went wrong, in the user's terms. */
export type TaskError = {
  /** `UnhandledInvocationError`, `HandledInvocationError`, `InvocationError`,
`InitializationError`, `FunctionNotStarted`. */
  class: string;
  /** The `errorType` of the error body. */
  kind: string;
  /** A short message. */
  message: string;
};

/** A transition. */
export type TaskEvent = {
  /** From 1. */
  id: number;
  /** The state entered. */
  state: string;
  /** When. */
  at: Time;
  /** JSON text or empty. */
  detail?: string;
};

/** What tasks are asked for. All conditions hold together. */
export type TaskFilter = {
  /** Of this function. */
  function?: string | null;
  /** Submitted through this qualifier. */
  qualifier?: string | null;
  /** In one of these states; in a query, names joined with commas. `open` and `ended` stand for
the states of each kind. */
  state?: Array<string>;
  /** Task id or uid starts so. */
  idPrefix?: string | null;
  from?: Time | null;
  until?: Time | null;
  /** Has all of these tags; in a query, `tag=key=value`, repeated. */
  tags?: Record<string, string>;
  /** Its last error's kind or class. */
  error?: string | null;
  durationMin?: Seconds | null;
  durationMax?: Seconds | null;
  /** Only task mode (`true`), only plain invocations (`false`), both if absent. */
  taskMode?: boolean | null;
};

/** A task to submit; everything is optional. At most one of `payload`, `payloadText` and
`payloadBase64`; none is an empty payload. Function Compute calls say the same in headers:
`x-stint-priority`, `x-stint-order-key` and so on. */
export type TaskSubmit = {
  /** Any JSON value; the function gets its text as it was written. */
  payload?: Record<string, unknown> | null;
  /** A text that the function gets as it is. */
  payloadText?: string | null;
  /** Bytes in base64. */
  payloadBase64?: string | null;
  /** The id you choose: the same twice in one function is refused with `AsyncTaskAlreadyExists`. */
  taskId?: string | null;
  /** The request's id; made by the server if absent. */
  requestId?: string | null;
  /** Priority class, 0 (last) to 9 (first); 4 if absent. */
  priority?: number | null;
  /** Labels to search by; at most 20. */
  tags?: Record<string, string>;
  /** Tasks of one key run one at a time, in order of submission. */
  orderKey?: string | null;
  /** Limits at key level count by this. */
  limitKey?: string | null;
  delay?: Seconds | null;
  runAt?: Time | null;
  timeout?: Seconds | null;
  heartbeat?: Seconds | null;
  /** vCPU; not above the function's. */
  cpu?: number | null;
  /** MB; not above the function's. */
  memory?: number | null;
  deadline?: Time | null;
  /** Tasks that must end first. */
  dependsOn?: Array<DependsOn>;
  /** Retries after a failed attempt instead of the configuration's. */
  retries?: number | null;
  backoff?: Seconds | null;
  backoffCap?: Seconds | null;
  /** Error types that are final at once. */
  finalErrors?: Array<string> | null;
};

export type Time = string;

/** A topic. */
export type Topic = {
  /** Its name. */
  name: string;
  /** The largest body, in bytes. */
  messageBytesMax: number;
  /** Kept and shown. */
  logging: boolean;
  /** How many subscriptions it has. */
  subscriptions: number;
  /** Notifications that are not delivered yet. */
  waiting: number;
  /** When it was made. */
  createdAt: Time;
  /** When it was last changed. */
  modifiedAt: Time;
};

/** What is said of a topic. */
export type TopicPatch = {
  /** The largest body in bytes; 65,536 if absent. */
  messageBytesMax?: number | null;
  /** Kept and shown. */
  logging?: boolean | null;
};

/** A trigger and how it is doing. */
export type Trigger = {
  /** Of which function. */
  function?: string;
  /** Its name in the function. */
  name?: string;
  /** Its id. */
  id?: string;
  /** Its kind, such as `timer` or `kafka`. */
  type?: string;
  /** Its configuration. */
  config?: Record<string, unknown>;
  /** Through which qualifier the function is called. */
  qualifier?: string;
  /** Free text. */
  description?: string;
  /** `exactly-once`, `at-least-once` or `lossy`: what it promises about an event when servers are killed. */
  promise?: string;
  /** `connecting`, `running`, `listening`, `held`, `backing-off`, `failed`, `paused` or `disabled`. */
  state?: string;
  /** Since when. */
  stateSince?: Time;
  /** Why it is held. */
  heldBy?: string | null;
  retryAt?: Time | null;
  /** The last failure; it stays when things go well again. */
  lastError?: string | null;
  lastErrorAt?: Time | null;
  /** Events that wait on the other side, where that is known. */
  lag?: number | null;
  /** Events in the last minute. */
  eventsLastMinute?: number;
  /** Events that were taken, ever. */
  events?: number;
  /** Of these, those that the filter let pass. */
  passed?: number;
  /** Of these, those that came again. */
  known?: number;
  /** Of these, those that the function cannot be given. */
  refused?: number;
  /** Tasks that were made. */
  tasks?: number;
  lastEventAt?: Time | null;
  /** The last task that was made. */
  lastTask?: string | null;
  /** Where its source is, in the source's words. */
  cursor?: string | null;
  /** When a timer fires next: ten moments. */
  next?: Array<Time>;
  /** Where it is called, if it is called. */
  url?: string | null;
  /** When it was made. */
  createdAt?: Time;
  /** When it was changed last. */
  modifiedAt?: Time;
};

/** A new trigger. */
export type TriggerCreate = {
  /** Of which function. */
  function?: string;
  /** Its name in the function. */
  name?: string;
  /** Its kind. */
  type?: string;
  /** Its configuration: an object. */
  config?: Record<string, unknown>;
  /** `LATEST` if absent. */
  qualifier?: string | null;
  /** Free text. */
  description?: string | null;
};

/** A change of a trigger; what is absent stays. */
export type TriggerPatch = {
  /** Another configuration, whole. */
  config?: Record<string, unknown> | null;
  /** Another qualifier. */
  qualifier?: string | null;
  /** Free text. */
  description?: string | null;
};

/** Who the request is from, as the server sees it. */
export type WhoAmI = {
  /** The account acted in. */
  account: string;
  /** The role. */
  role: string;
  /** Functions it is narrowed to; empty: all. */
  functions: Array<string>;
  /** The access key id. */
  keyId: string;
};

/** Why a task is where it is. */
export type Why = {
  /** The task's own id. */
  uid: string;
  /** The id it goes by in its function. */
  taskId: string;
  /** Its function. */
  function: string;
  /** Its state. */
  state: string;
  /** A stable word for the cause (`accountConcurrency`, `paused`, `delayed`, `running` …). */
  cause: string;
  /** The same for a person. */
  sentence: string;
  /** Uids of the tasks that it waits for, at most twenty of them. */
  waitsFor?: Array<string>;
  /** Its place in the backlog, from 1, while it waits. */
  position?: number | null;
  estimatedStart?: Time | null;
};

/** What a caller needs. */
export type Need = "invoke" | "read" | "write" | "follow" | "any" | "operate" | "administer" | "open";

/** Every operation of /v1. */
export const OPERATIONS = {
  submitTask: { method: "POST", path: "/v1/functions/{function}/tasks", need: "invoke" },
  submitBatch: { method: "POST", path: "/v1/functions/{function}/tasks:batch", need: "invoke" },
  listTasks: { method: "GET", path: "/v1/tasks", need: "read" },
  countTasks: { method: "GET", path: "/v1/tasks:count", need: "read" },
  stopTasks: { method: "POST", path: "/v1/tasks:stop", need: "write" },
  retryTasks: { method: "POST", path: "/v1/tasks:retry", need: "write" },
  getTask: { method: "GET", path: "/v1/tasks/{task}", need: "follow" },
  getFunctionTask: { method: "GET", path: "/v1/functions/{function}/tasks/{task}", need: "follow" },
  waitTask: { method: "GET", path: "/v1/tasks/{task}/wait", need: "follow" },
  waitFunctionTask: { method: "GET", path: "/v1/functions/{function}/tasks/{task}/wait", need: "follow" },
  whyTask: { method: "GET", path: "/v1/tasks/{task}/why", need: "follow" },
  whyFunctionTask: { method: "GET", path: "/v1/functions/{function}/tasks/{task}/why", need: "follow" },
  taskLogs: { method: "GET", path: "/v1/tasks/{task}/logs", need: "follow" },
  functionTaskLogs: { method: "GET", path: "/v1/functions/{function}/tasks/{task}/logs", need: "follow" },
  taskPayload: { method: "GET", path: "/v1/tasks/{task}/payload", need: "follow" },
  functionTaskPayload: { method: "GET", path: "/v1/functions/{function}/tasks/{task}/payload", need: "follow" },
  taskResult: { method: "GET", path: "/v1/tasks/{task}/result", need: "follow" },
  functionTaskResult: { method: "GET", path: "/v1/functions/{function}/tasks/{task}/result", need: "follow" },
  stopTask: { method: "POST", path: "/v1/tasks/{task}/stop", need: "write" },
  stopFunctionTask: { method: "POST", path: "/v1/functions/{function}/tasks/{task}/stop", need: "write" },
  retryTask: { method: "POST", path: "/v1/tasks/{task}/retry", need: "write" },
  retryFunctionTask: { method: "POST", path: "/v1/functions/{function}/tasks/{task}/retry", need: "write" },
  taskProgress: { method: "POST", path: "/v1/tasks/{task}/progress", need: "invoke" },
  functionTaskProgress: { method: "POST", path: "/v1/functions/{function}/tasks/{task}/progress", need: "invoke" },
  listBacklogs: { method: "GET", path: "/v1/backlogs", need: "read" },
  getBacklog: { method: "GET", path: "/v1/backlogs/{function}", need: "read" },
  pauseBacklog: { method: "POST", path: "/v1/backlogs/{function}:pause", need: "write" },
  resumeBacklog: { method: "POST", path: "/v1/backlogs/{function}:resume", need: "write" },
  listFunctions: { method: "GET", path: "/v1/functions", need: "read" },
  getFunction: { method: "GET", path: "/v1/functions/{function}", need: "read" },
  getFunctionLimits: { method: "GET", path: "/v1/functions/{function}/limits", need: "read" },
  putFunctionLimits: { method: "PUT", path: "/v1/functions/{function}/limits", need: "write" },
  getRetryPolicy: { method: "GET", path: "/v1/functions/{function}/retry-policy", need: "read" },
  putRetryPolicy: { method: "PUT", path: "/v1/functions/{function}/retry-policy", need: "write" },
  listRuntimes: { method: "GET", path: "/v1/runtimes", need: "read" },
  listFlows: { method: "GET", path: "/v1/flows", need: "read" },
  createFlow: { method: "POST", path: "/v1/flows", need: "write" },
  checkFlow: { method: "POST", path: "/v1/flows:check", need: "read" },
  getFlow: { method: "GET", path: "/v1/flows/{flow}", need: "read" },
  updateFlow: { method: "PATCH", path: "/v1/flows/{flow}", need: "write" },
  deleteFlow: { method: "DELETE", path: "/v1/flows/{flow}", need: "write" },
  flowGraph: { method: "GET", path: "/v1/flows/{flow}/graph", need: "read" },
  listFlowVersions: { method: "GET", path: "/v1/flows/{flow}/versions", need: "read" },
  publishFlow: { method: "POST", path: "/v1/flows/{flow}/versions", need: "write" },
  deleteFlowVersion: { method: "DELETE", path: "/v1/flows/{flow}/versions/{version}", need: "write" },
  listFlowAliases: { method: "GET", path: "/v1/flows/{flow}/aliases", need: "read" },
  putFlowAlias: { method: "PUT", path: "/v1/flows/{flow}/aliases/{alias}", need: "write" },
  deleteFlowAlias: { method: "DELETE", path: "/v1/flows/{flow}/aliases/{alias}", need: "write" },
  listExecutions: { method: "GET", path: "/v1/executions", need: "read" },
  startExecution: { method: "POST", path: "/v1/flows/{flow}/executions", need: "invoke" },
  getExecution: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}", need: "follow" },
  waitExecution: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}/wait", need: "follow" },
  executionHistory: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}/history", need: "follow" },
  executionEvents: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}/events", need: "follow" },
  whyExecution: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}/why", need: "follow" },
  executionGraph: { method: "GET", path: "/v1/flows/{flow}/executions/{execution}/graph", need: "follow" },
  stopExecution: { method: "POST", path: "/v1/flows/{flow}/executions/{execution}/stop", need: "write" },
  redriveExecution: { method: "POST", path: "/v1/flows/{flow}/executions/{execution}/redrive", need: "write" },
  listQueues: { method: "GET", path: "/v1/queues", need: "read" },
  createQueue: { method: "PUT", path: "/v1/queues/{queue}", need: "write" },
  getQueue: { method: "GET", path: "/v1/queues/{queue}", need: "read" },
  updateQueue: { method: "PATCH", path: "/v1/queues/{queue}", need: "write" },
  deleteQueue: { method: "DELETE", path: "/v1/queues/{queue}", need: "write" },
  purgeQueue: { method: "POST", path: "/v1/queues/{queue}:purge", need: "write" },
  sendMessages: { method: "POST", path: "/v1/queues/{queue}/messages", need: "invoke" },
  peekMessages: { method: "GET", path: "/v1/queues/{queue}/messages", need: "read" },
  receiveMessages: { method: "POST", path: "/v1/queues/{queue}/messages:receive", need: "invoke" },
  deleteMessages: { method: "POST", path: "/v1/queues/{queue}/messages:delete", need: "invoke" },
  changeVisibility: { method: "POST", path: "/v1/queues/{queue}/messages:visibility", need: "invoke" },
  listTopics: { method: "GET", path: "/v1/topics", need: "read" },
  createTopic: { method: "PUT", path: "/v1/topics/{topic}", need: "write" },
  getTopic: { method: "GET", path: "/v1/topics/{topic}", need: "read" },
  updateTopic: { method: "PATCH", path: "/v1/topics/{topic}", need: "write" },
  deleteTopic: { method: "DELETE", path: "/v1/topics/{topic}", need: "write" },
  publishMessage: { method: "POST", path: "/v1/topics/{topic}/messages", need: "invoke" },
  listSubscriptions: { method: "GET", path: "/v1/topics/{topic}/subscriptions", need: "read" },
  putSubscription: { method: "PUT", path: "/v1/topics/{topic}/subscriptions/{subscription}", need: "write" },
  getSubscription: { method: "GET", path: "/v1/topics/{topic}/subscriptions/{subscription}", need: "read" },
  deleteSubscription: { method: "DELETE", path: "/v1/topics/{topic}/subscriptions/{subscription}", need: "write" },
  listTriggers: { method: "GET", path: "/v1/triggers", need: "read" },
  createTrigger: { method: "POST", path: "/v1/triggers", need: "write" },
  getTrigger: { method: "GET", path: "/v1/triggers/{function}/{trigger}", need: "read" },
  updateTrigger: { method: "PATCH", path: "/v1/triggers/{function}/{trigger}", need: "write" },
  deleteTrigger: { method: "DELETE", path: "/v1/triggers/{function}/{trigger}", need: "write" },
  pauseTrigger: { method: "POST", path: "/v1/triggers/{function}/{trigger}/pause", need: "write" },
  resumeTrigger: { method: "POST", path: "/v1/triggers/{function}/{trigger}/resume", need: "write" },
  listSecrets: { method: "GET", path: "/v1/secrets", need: "read" },
  putSecret: { method: "PUT", path: "/v1/secrets/{secret}", need: "write" },
  deleteSecret: { method: "DELETE", path: "/v1/secrets/{secret}", need: "write" },
  whoAmI: { method: "GET", path: "/v1/whoami", need: "any" },
  signIn: { method: "POST", path: "/v1/sign-in", need: "any" },
  signOut: { method: "POST", path: "/v1/sign-out", need: "any" },
  listAccounts: { method: "GET", path: "/v1/accounts", need: "operate" },
  createAccount: { method: "POST", path: "/v1/accounts", need: "operate" },
  getAccount: { method: "GET", path: "/v1/accounts/{account}", need: "read" },
  updateAccount: { method: "PATCH", path: "/v1/accounts/{account}", need: "operate" },
  listKeys: { method: "GET", path: "/v1/keys", need: "administer" },
  createKey: { method: "POST", path: "/v1/keys", need: "administer" },
  createTemporaryKey: { method: "POST", path: "/v1/keys:temporary", need: "write" },
  getKey: { method: "GET", path: "/v1/keys/{key}", need: "administer" },
  updateKey: { method: "PATCH", path: "/v1/keys/{key}", need: "administer" },
  deleteKey: { method: "DELETE", path: "/v1/keys/{key}", need: "administer" },
  rotateKey: { method: "POST", path: "/v1/keys/{key}/rotate", need: "administer" },
  rotateMasterKey: { method: "POST", path: "/v1/master-key:rotate", need: "operate" },
  overview: { method: "GET", path: "/v1/overview", need: "read" },
  listInstances: { method: "GET", path: "/v1/instances", need: "read" },
  stopInstance: { method: "POST", path: "/v1/instances/{instance}/stop", need: "write" },
  searchLogs: { method: "GET", path: "/v1/logs", need: "read" },
  listAudit: { method: "GET", path: "/v1/audit", need: "administer" },
  listUsage: { method: "GET", path: "/v1/usage", need: "read" },
  getConfig: { method: "GET", path: "/v1/config", need: "operate" },
  healthz: { method: "GET", path: "/healthz", need: "open" },
  readyz: { method: "GET", path: "/readyz", need: "open" },
  metrics: { method: "GET", path: "/metrics", need: "open" },
  openapi: { method: "GET", path: "/openapi.json", need: "open" },
} as const;

export type OperationId = keyof typeof OPERATIONS;

/** What each operation takes and gives. */
export interface Operations {
  submitTask: {
    path: { function: string };
    query: { qualifier?: QueryValue };
    body: TaskSubmit;
    answer: TaskAccepted;
  };
  submitBatch: {
    path: { function: string };
    query: { qualifier?: QueryValue };
    body: BatchSubmit;
    answer: BatchResult;
  };
  listTasks: {
    path: Nothing;
    query: { function?: QueryValue; qualifier?: QueryValue; state?: QueryValue; idPrefix?: QueryValue; from?: QueryValue; until?: QueryValue; tag?: QueryValue; error?: QueryValue; durationMin?: QueryValue; durationMax?: QueryValue; taskMode?: QueryValue; order?: QueryValue; includePayload?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Task;
  };
  countTasks: {
    path: Nothing;
    query: { function?: QueryValue; qualifier?: QueryValue; state?: QueryValue; idPrefix?: QueryValue; from?: QueryValue; until?: QueryValue; tag?: QueryValue; error?: QueryValue; durationMin?: QueryValue; durationMax?: QueryValue; taskMode?: QueryValue };
    body: undefined;
    answer: TaskCount;
  };
  stopTasks: {
    path: Nothing;
    query: Nothing;
    body: BulkRequest;
    answer: BulkResult;
  };
  retryTasks: {
    path: Nothing;
    query: Nothing;
    body: BulkRequest;
    answer: BulkResult;
  };
  getTask: {
    path: { task: string };
    query: { includePayload?: QueryValue };
    body: undefined;
    answer: Task;
  };
  getFunctionTask: {
    path: { function: string; task: string };
    query: { includePayload?: QueryValue };
    body: undefined;
    answer: Task;
  };
  waitTask: {
    path: { task: string };
    query: { timeout?: QueryValue };
    body: undefined;
    answer: Task;
  };
  waitFunctionTask: {
    path: { function: string; task: string };
    query: { timeout?: QueryValue };
    body: undefined;
    answer: Task;
  };
  whyTask: {
    path: { task: string };
    query: Nothing;
    body: undefined;
    answer: Why;
  };
  whyFunctionTask: {
    path: { function: string; task: string };
    query: Nothing;
    body: undefined;
    answer: Why;
  };
  taskLogs: {
    path: { task: string };
    query: { attempt?: QueryValue; text?: QueryValue; follow?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_LogLine;
  };
  functionTaskLogs: {
    path: { function: string; task: string };
    query: { attempt?: QueryValue; text?: QueryValue; follow?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_LogLine;
  };
  taskPayload: {
    path: { task: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  functionTaskPayload: {
    path: { function: string; task: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  taskResult: {
    path: { task: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  functionTaskResult: {
    path: { function: string; task: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  stopTask: {
    path: { task: string };
    query: Nothing;
    body: StopRequest;
    answer: Task;
  };
  stopFunctionTask: {
    path: { function: string; task: string };
    query: Nothing;
    body: StopRequest;
    answer: Task;
  };
  retryTask: {
    path: { task: string };
    query: Nothing;
    body: undefined;
    answer: Task;
  };
  retryFunctionTask: {
    path: { function: string; task: string };
    query: Nothing;
    body: undefined;
    answer: Task;
  };
  taskProgress: {
    path: { task: string };
    query: Nothing;
    body: ProgressReport;
    answer: undefined;
  };
  functionTaskProgress: {
    path: { function: string; task: string };
    query: Nothing;
    body: ProgressReport;
    answer: undefined;
  };
  listBacklogs: {
    path: Nothing;
    query: { limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Backlog;
  };
  getBacklog: {
    path: { function: string };
    query: Nothing;
    body: undefined;
    answer: Backlog;
  };
  pauseBacklog: {
    path: { function: string };
    query: Nothing;
    body: undefined;
    answer: Backlog;
  };
  resumeBacklog: {
    path: { function: string };
    query: Nothing;
    body: undefined;
    answer: Backlog;
  };
  listFunctions: {
    path: Nothing;
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_FunctionSummary;
  };
  getFunction: {
    path: { function: string };
    query: Nothing;
    body: undefined;
    answer: FunctionSummary;
  };
  getFunctionLimits: {
    path: { function: string };
    query: Nothing;
    body: undefined;
    answer: FunctionLimits;
  };
  putFunctionLimits: {
    path: { function: string };
    query: Nothing;
    body: FunctionLimits;
    answer: FunctionLimits;
  };
  getRetryPolicy: {
    path: { function: string };
    query: { qualifier?: QueryValue };
    body: undefined;
    answer: RetryPolicy;
  };
  putRetryPolicy: {
    path: { function: string };
    query: { qualifier?: QueryValue };
    body: RetryPolicy;
    answer: RetryPolicy;
  };
  listRuntimes: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Page_Runtime;
  };
  listFlows: {
    path: Nothing;
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Flow;
  };
  createFlow: {
    path: Nothing;
    query: Nothing;
    body: FlowCreate;
    answer: Flow;
  };
  checkFlow: {
    path: Nothing;
    query: Nothing;
    body: FlowCheck;
    answer: FlowChecked;
  };
  getFlow: {
    path: { flow: string };
    query: { version?: QueryValue };
    body: undefined;
    answer: Flow;
  };
  updateFlow: {
    path: { flow: string };
    query: Nothing;
    body: FlowPatch;
    answer: Flow;
  };
  deleteFlow: {
    path: { flow: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  flowGraph: {
    path: { flow: string };
    query: { version?: QueryValue };
    body: undefined;
    answer: FlowGraph;
  };
  listFlowVersions: {
    path: { flow: string };
    query: { limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_FlowVersion;
  };
  publishFlow: {
    path: { flow: string };
    query: Nothing;
    body: FlowPublish;
    answer: FlowVersion;
  };
  deleteFlowVersion: {
    path: { flow: string; version: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  listFlowAliases: {
    path: { flow: string };
    query: { limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_FlowAlias;
  };
  putFlowAlias: {
    path: { flow: string; alias: string };
    query: Nothing;
    body: FlowAliasPut;
    answer: FlowAlias;
  };
  deleteFlowAlias: {
    path: { flow: string; alias: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  listExecutions: {
    path: Nothing;
    query: { flow?: QueryValue; status?: QueryValue; prefix?: QueryValue; from?: QueryValue; until?: QueryValue; tag?: QueryValue; error?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Execution;
  };
  startExecution: {
    path: { flow: string };
    query: Nothing;
    body: ExecutionStart;
    answer: Execution;
  };
  getExecution: {
    path: { flow: string; execution: string };
    query: Nothing;
    body: undefined;
    answer: Execution;
  };
  waitExecution: {
    path: { flow: string; execution: string };
    query: { timeout?: QueryValue };
    body: undefined;
    answer: Execution;
  };
  executionHistory: {
    path: { flow: string; execution: string };
    query: { order?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_ExecutionEvent;
  };
  executionEvents: {
    path: { flow: string; execution: string };
    query: { after?: QueryValue };
    body: undefined;
    answer: undefined;
  };
  whyExecution: {
    path: { flow: string; execution: string };
    query: Nothing;
    body: undefined;
    answer: ExecutionWhy;
  };
  executionGraph: {
    path: { flow: string; execution: string };
    query: Nothing;
    body: undefined;
    answer: FlowGraph;
  };
  stopExecution: {
    path: { flow: string; execution: string };
    query: Nothing;
    body: ExecutionStop;
    answer: Execution;
  };
  redriveExecution: {
    path: { flow: string; execution: string };
    query: Nothing;
    body: undefined;
    answer: Execution;
  };
  listQueues: {
    path: Nothing;
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Queue;
  };
  createQueue: {
    path: { queue: string };
    query: Nothing;
    body: QueuePatch;
    answer: Queue;
  };
  getQueue: {
    path: { queue: string };
    query: Nothing;
    body: undefined;
    answer: Queue;
  };
  updateQueue: {
    path: { queue: string };
    query: Nothing;
    body: QueuePatch;
    answer: Queue;
  };
  deleteQueue: {
    path: { queue: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  purgeQueue: {
    path: { queue: string };
    query: Nothing;
    body: undefined;
    answer: Queue;
  };
  sendMessages: {
    path: { queue: string };
    query: Nothing;
    body: SendMessages;
    answer: SentMessages;
  };
  peekMessages: {
    path: { queue: string };
    query: { count?: QueryValue };
    body: undefined;
    answer: ReceivedMessages;
  };
  receiveMessages: {
    path: { queue: string };
    query: Nothing;
    body: ReceiveMessages;
    answer: ReceivedMessages;
  };
  deleteMessages: {
    path: { queue: string };
    query: Nothing;
    body: DeleteMessages;
    answer: DeletedMessages;
  };
  changeVisibility: {
    path: { queue: string };
    query: Nothing;
    body: ChangeVisibility;
    answer: ChangedVisibility;
  };
  listTopics: {
    path: Nothing;
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Topic;
  };
  createTopic: {
    path: { topic: string };
    query: Nothing;
    body: TopicPatch;
    answer: Topic;
  };
  getTopic: {
    path: { topic: string };
    query: Nothing;
    body: undefined;
    answer: Topic;
  };
  updateTopic: {
    path: { topic: string };
    query: Nothing;
    body: TopicPatch;
    answer: Topic;
  };
  deleteTopic: {
    path: { topic: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  publishMessage: {
    path: { topic: string };
    query: Nothing;
    body: PublishMessage;
    answer: PublishedMessage;
  };
  listSubscriptions: {
    path: { topic: string };
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Subscription;
  };
  putSubscription: {
    path: { topic: string; subscription: string };
    query: Nothing;
    body: SubscriptionPut;
    answer: Subscription;
  };
  getSubscription: {
    path: { topic: string; subscription: string };
    query: Nothing;
    body: undefined;
    answer: Subscription;
  };
  deleteSubscription: {
    path: { topic: string; subscription: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  listTriggers: {
    path: Nothing;
    query: { function?: QueryValue; prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Trigger;
  };
  createTrigger: {
    path: Nothing;
    query: Nothing;
    body: TriggerCreate;
    answer: Trigger;
  };
  getTrigger: {
    path: { function: string; trigger: string };
    query: Nothing;
    body: undefined;
    answer: Trigger;
  };
  updateTrigger: {
    path: { function: string; trigger: string };
    query: Nothing;
    body: TriggerPatch;
    answer: Trigger;
  };
  deleteTrigger: {
    path: { function: string; trigger: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  pauseTrigger: {
    path: { function: string; trigger: string };
    query: Nothing;
    body: undefined;
    answer: Trigger;
  };
  resumeTrigger: {
    path: { function: string; trigger: string };
    query: Nothing;
    body: undefined;
    answer: Trigger;
  };
  listSecrets: {
    path: Nothing;
    query: { prefix?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Secret;
  };
  putSecret: {
    path: { secret: string };
    query: Nothing;
    body: SecretPut;
    answer: Secret;
  };
  deleteSecret: {
    path: { secret: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  whoAmI: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: WhoAmI;
  };
  signIn: {
    path: Nothing;
    query: Nothing;
    body: SignIn;
    answer: KeyCreated;
  };
  signOut: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  listAccounts: {
    path: Nothing;
    query: { limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Account;
  };
  createAccount: {
    path: Nothing;
    query: Nothing;
    body: AccountCreate;
    answer: Account;
  };
  getAccount: {
    path: { account: string };
    query: Nothing;
    body: undefined;
    answer: Account;
  };
  updateAccount: {
    path: { account: string };
    query: Nothing;
    body: AccountPatch;
    answer: Account;
  };
  listKeys: {
    path: Nothing;
    query: { account?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Key;
  };
  createKey: {
    path: Nothing;
    query: Nothing;
    body: KeyCreate;
    answer: KeyCreated;
  };
  createTemporaryKey: {
    path: Nothing;
    query: Nothing;
    body: KeyTemporary;
    answer: KeyCreated;
  };
  getKey: {
    path: { key: string };
    query: Nothing;
    body: undefined;
    answer: Key;
  };
  updateKey: {
    path: { key: string };
    query: Nothing;
    body: KeyPatch;
    answer: Key;
  };
  deleteKey: {
    path: { key: string };
    query: Nothing;
    body: undefined;
    answer: undefined;
  };
  rotateKey: {
    path: { key: string };
    query: Nothing;
    body: undefined;
    answer: KeyCreated;
  };
  rotateMasterKey: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: MasterKeyRotated;
  };
  overview: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Overview;
  };
  listInstances: {
    path: Nothing;
    query: { function?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Instance;
  };
  stopInstance: {
    path: { instance: string };
    query: { now?: QueryValue };
    body: undefined;
    answer: Instance;
  };
  searchLogs: {
    path: Nothing;
    query: { function?: QueryValue; task?: QueryValue; request?: QueryValue; instance?: QueryValue; attempt?: QueryValue; text?: QueryValue; from?: QueryValue; until?: QueryValue; order?: QueryValue; follow?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_LogLine;
  };
  listAudit: {
    path: Nothing;
    query: { until?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_AuditEntry;
  };
  listUsage: {
    path: Nothing;
    query: { account?: QueryValue; function?: QueryValue; from?: QueryValue; until?: QueryValue; window?: QueryValue; groupBy?: QueryValue; format?: QueryValue; limit?: QueryValue; cursor?: QueryValue };
    body: undefined;
    answer: Page_Usage;
  };
  getConfig: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Page_Setting;
  };
  healthz: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Health;
  };
  readyz: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Health;
  };
  metrics: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: string;
  };
  openapi: {
    path: Nothing;
    query: Nothing;
    body: undefined;
    answer: Record<string, unknown>;
  };
}

/** Several values are sent as several parameters. */
export type QueryValue = string | number | boolean | readonly string[] | undefined;

export type Nothing = Record<string, never>;
