//! The plan: what all dialects compile to. Dialects differ in the data of a plan (templates, shapes,
//! targets), never in who walks it.
//!
//! A plan has scopes (the machine, a branch, an iteration, an inline list) of steps. Each step enters
//! with a raw input, shapes it, works, shapes its result, and goes on.

use crate::choice::Test;
use crate::path::Path;
use crate::prelude::*;
use crate::template::{Selector, Template};
use crate::term::Term;
use crate::text::Position;

pub(crate) type StepId = usize;
pub(crate) type ScopeId = usize;

/// The language a definition is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Dialect {
    /// FDL, `version: v1`.
    Fdl,
    /// CloudFlow, `Type: StateMachine`.
    CloudFlow,
    /// Amazon States Language.
    StatesLanguage,
}

/// Which promises an execution gets. Express ones have no callbacks and no distributed maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum ExecutionMode {
    /// Durable, up to a year.
    #[default]
    Standard,
    /// Short, without durable history.
    Express,
}

/// A compiled definition.
#[derive(Debug)]
pub struct Plan {
    pub(crate) dialect: Dialect,
    pub(crate) name: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) steps: Vec<Step>,
    /// Seconds that an execution may take.
    pub(crate) timeout: Option<u64>,
    /// FDL's mappings of the flow itself.
    pub(crate) enter: Option<Template>,
    pub(crate) leave: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) kind: ScopeKind,
    /// The step that holds it; none for the machine.
    pub(crate) owner: Option<StepId>,
    pub(crate) start: StepId,
    pub(crate) steps: Vec<StepId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Machine,
    Branch(usize),
    Iteration,
    /// The inline steps of an FDL choice.
    Block,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) language: Language,
    pub(crate) scope: ScopeId,
    pub(crate) at: Position,
    /// Where it lies in the document.
    pub(crate) path: String,
    /// Whether an expression of it may read the context object, which is not free to make.
    pub(crate) sees_context: bool,
    pub(crate) enter: Enter,
    /// `Parameters`, `Arguments`, `serviceParams`: what the work gets.
    pub(crate) params: Option<Template>,
    pub(crate) work: Work,
    pub(crate) leave: Leave,
    pub(crate) assign: Option<Template>,
    pub(crate) retry: Vec<RetryRule>,
    pub(crate) catch: Vec<CatchRule>,
    pub(crate) next: Next,
}

/// The type of a step, in no dialect's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// Shapes data.
    Pass,
    /// Calls something.
    Task,
    /// Chooses where to go on.
    Choice,
    /// Waits for a time.
    Wait,
    /// Ends well.
    Succeed,
    /// Ends badly.
    Fail,
    /// Runs branches side by side.
    Parallel,
    /// Runs the same for each item.
    Map,
}

/// Who evaluates a step's expressions, which is also who decides about its errors' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    JsonPath,
    Jsonata,
    Cloud,
    Fdl,
}

#[derive(Debug)]
pub(crate) enum Enter {
    /// The raw input is the input.
    Whole,
    /// `InputPath`
    Select(Selector),
    /// `InputConstructor`, `inputMappings`
    Shape(Template),
    /// FDL's default: the scope's input under its local.
    Merge,
}

#[derive(Debug)]
pub(crate) enum Leave {
    /// States Language with JSONPath.
    Pipe { selector: Option<Template>, result: ResultPath, output: Selector },
    /// States Language with JSONata.
    Output(Option<Template>),
    /// CloudFlow.
    Construct { output: Option<Template>, global: Option<Template> },
    /// FDL; without mappings a step gives its local, parallel and foreach nothing.
    Mappings { output: Option<Template>, gives_local: bool },
}

#[derive(Debug)]
pub(crate) enum ResultPath {
    Replace,
    Discard,
    At(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Step(StepId),
    /// The end of the scope.
    End,
}

#[derive(Debug)]
pub(crate) enum Work {
    Pass { result: Option<Value> },
    Task(Task),
    Wait(WaitFor),
    Choice { rules: Vec<Rule>, default: Option<Way> },
    Succeed,
    Fail { error: Option<Template>, cause: Option<Template> },
    Parallel(Vec<ScopeId>),
    Map(Box<MapSpec>),
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) resource: Resource,
    pub(crate) mode: CallMode,
    pub(crate) timeout: Option<Template>,
    pub(crate) heartbeat: Option<Template>,
    pub(crate) credentials: Option<Template>,
}

/// How a call's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CallMode {
    /// The answer of the call is its result.
    Request,
    /// The platform follows what was started until it ends (`sync`, `.sync`, system callback).
    Follow,
    /// As `Follow`, and the result is parsed (`.sync:2`).
    FollowParsed,
    /// Somebody reports with the token.
    Callback,
    /// A poller takes the work and reports (activities).
    Poll,
}

/// What a task calls, understood as far as the definition says it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Resource {
    /// A function of this platform, called with the input as its event.
    Function {
        /// Its name, with service where the old form has one.
        name: String,
        /// Version or alias.
        qualifier: Option<String>,
    },
    /// A flow of this platform.
    Flow {
        /// Its name.
        name: String,
    },
    /// An activity that pollers serve.
    Activity {
        /// Name or ARN, as written.
        name: String,
    },
    /// An API of a service: the arguments say the rest. `http:request`, `lambda:invoke`,
    /// `states:startExecution`, `fc:InvokeFunction`, `mns:…` all arrive here.
    Service {
        /// The service, in lower case.
        product: String,
        /// The API, as written.
        api: String,
    },
}

#[derive(Debug)]
pub(crate) enum WaitFor {
    Seconds(Template),
    Until(Template),
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) when: When,
    pub(crate) way: Way,
}

#[derive(Debug)]
pub(crate) enum When {
    Test(Test),
    Term(Term),
    Jsonata(Template),
}

/// Where a choice leads.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) next: Next,
    /// FDL: a list of steps that comes before.
    pub(crate) block: Option<ScopeId>,
    pub(crate) output: Option<Template>,
    pub(crate) assign: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct MapSpec {
    pub(crate) scope: ScopeId,
    pub(crate) items: Items,
    pub(crate) selector: Option<Template>,
    /// FDL: the keys under which item and index lie in the iteration's input.
    pub(crate) keys: Option<(String, String)>,
    pub(crate) concurrency: Option<Template>,
    /// `ToleratedFailureCount` and `ToleratedFailurePercentage`, in this order.
    pub(crate) tolerances: Tolerances,
    pub(crate) distributed: Option<Distributed>,
}

#[derive(Debug)]
pub(crate) enum Items {
    /// The effective input itself.
    Whole,
    /// An expression or a literal.
    Template(Template),
    /// A reader brings them.
    Read,
}

#[derive(Debug)]
pub(crate) struct Distributed {
    pub(crate) mode: ExecutionMode,
    pub(crate) label: Option<String>,
    pub(crate) reader: Option<Template>,
    pub(crate) writer: Option<Template>,
    pub(crate) items_max: Option<Template>,
    pub(crate) batch: Option<Template>,
}

/// How many items may fail. An inline map may say it too; only its values are checked there.
#[derive(Debug, Default)]
pub(crate) struct Tolerances {
    pub(crate) count: Option<Template>,
    pub(crate) percentage: Option<Template>,
}

impl<'a> IntoIterator for &'a Tolerances {
    type Item = &'a Template;
    type IntoIter = vec::IntoIter<&'a Template>;
    fn into_iter(self) -> Self::IntoIter {
        self.count.iter().chain(&self.percentage).collect::<Vec<_>>().into_iter()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct RetryRule {
    pub(crate) errors: Vec<String>,
    pub(crate) interval: f64,
    pub(crate) rate: f64,
    pub(crate) attempts: u32,
    pub(crate) delay_max: Option<f64>,
    pub(crate) has_jitter: bool,
}

#[derive(Debug)]
pub(crate) struct CatchRule {
    pub(crate) errors: Vec<String>,
    pub(crate) next: Next,
    pub(crate) shape: CatchShape,
    pub(crate) assign: Option<Template>,
}

/// What the handler of an error gets.
#[derive(Debug)]
pub(crate) enum CatchShape {
    /// States Language: the error, at a place of the raw input.
    Result(ResultPath),
    /// JSONata `Output`, CloudFlow `OutputConstructor`; FDL merges it into the scope's local.
    Output(Option<Template>),
}

/// Longest delay a definition can ask for, in seconds: what fits 31 bits, as upstream has it.
pub(crate) const SECONDS_MAX: i64 = 2_147_483_647;

impl Plan {
    /// What it was written in.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The name the definition gives itself.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What the definition says about itself.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// How many steps it has, nested ones included.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Every JSONata expression with its field and place, for whoever can check its syntax.
    pub fn jsonata(&self) -> Vec<Expression<'_>> {
        let mut found = Vec::new();
        for step in &self.steps {
            step.templates(&mut |template| {
                template.leaves(&mut |leaf| {
                    if let Some(source) = leaf.jsonata() {
                        let (path, field) = (step.path.as_str(), leaf.field.as_str());
                        let (step, at) = (step.name.as_str(), leaf.at);
                        found.push(Expression { step, path, field, at, source });
                    }
                });
            });
        }
        found
    }
}

/// One JSONata expression of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression<'a> {
    /// The step it belongs to.
    pub step: &'a str,
    /// Where the step lies in the document.
    pub path: &'a str,
    /// The field it stands in.
    pub field: &'a str,
    /// Where.
    pub at: Position,
    /// The expression without `{%` and `%}`.
    pub source: &'a str,
}

impl Step {
    /// Every template of the step.
    pub(crate) fn templates<'a>(&'a self, give: &mut dyn FnMut(&'a Template)) {
        if let Enter::Shape(template) = &self.enter {
            give(template);
        }
        match &self.leave {
            Leave::Pipe { selector: one, .. } | Leave::Output(one) => {
                one.iter().for_each(&mut *give)
            }
            Leave::Construct { output, global } => output.iter().chain(global).for_each(&mut *give),
            Leave::Mappings { output, .. } => output.iter().for_each(&mut *give),
        }
        self.params.iter().chain(&self.assign).for_each(&mut *give);
        for rule in &self.catch {
            if let CatchShape::Output(Some(template)) = &rule.shape {
                give(template);
            }
            rule.assign.iter().for_each(&mut *give);
        }
        self.work.templates(give);
    }
}

impl Work {
    fn templates<'a>(&'a self, give: &mut dyn FnMut(&'a Template)) {
        match self {
            Self::Pass { .. } | Self::Succeed | Self::Parallel(_) => {}
            Self::Task(task) => {
                let all = task.timeout.iter().chain(&task.heartbeat).chain(&task.credentials);
                all.for_each(give);
            }
            Self::Wait(WaitFor::Seconds(template) | WaitFor::Until(template)) => give(template),
            Self::Choice { rules, default } => {
                for rule in rules {
                    if let When::Jsonata(template) = &rule.when {
                        give(template);
                    }
                }
                let ways = rules.iter().map(|rule| &rule.way).chain(default);
                ways.flat_map(|way| way.output.iter().chain(&way.assign)).for_each(give);
            }
            Self::Fail { error, cause } => error.iter().chain(cause).for_each(give),
            Self::Map(map) => {
                match &map.items {
                    Items::Template(template) => give(template),
                    Items::Whole | Items::Read => {}
                }
                map.selector.iter().chain(&map.concurrency).for_each(&mut *give);
                map.tolerances.into_iter().for_each(&mut *give);
                if let Some(spread) = &map.distributed {
                    spread.templates().into_iter().flatten().for_each(give);
                }
            }
        }
    }
}

impl Distributed {
    /// In the order in which they are evaluated.
    pub(crate) fn templates(&self) -> [Option<&Template>; 4] {
        [self.reader.as_ref(), self.writer.as_ref(), self.items_max.as_ref(), self.batch.as_ref()]
    }
}
