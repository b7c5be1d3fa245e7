//! Stable error codes: what a caller asked for and cannot have. `api` maps each to an HTTP status
//! in one function; `docs/reference/errors.md` has a section for each.

use alloc::string::String;
use core::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One of the codes below. The text on the wire is the variant's name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All codes, in the order they are declared.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text on the wire.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

codes! {
    /// A parameter, header, name or body is not valid.
    InvalidArgument,
    /// A required header is absent.
    MissingRequiredHeader,
    /// No operation at this method and path.
    PathNotSupported,
    /// The payload is over the limit.
    EntityTooLarge,
    /// Too many of something.
    LimitExceededError,
    /// The role or the scope of the key does not allow the operation.
    AccessDenied,
    /// The signature is not the one we compute.
    SignatureNotMatch,
    /// No such access key, or it is disabled or expired.
    InvalidAccessKeyID,
    /// The temporary key's session token is absent or wrong.
    InvalidSecurityToken,
    /// The request is signed too far from the present.
    RequestTimeTooSkewed,
    /// The same signed request was seen before.
    RequestReplayed,
    /// No such function.
    FunctionNotFound,
    /// No such alias.
    AliasNotFound,
    /// No such version.
    VersionNotFound,
    /// No such session.
    SessionNotFound,
    /// No such trigger.
    TriggerNotFound,
    /// No such layer.
    LayerNotFound,
    /// No such layer version.
    LayerVersionNotFound,
    /// No async invoke configuration for this function and qualifier.
    AsyncConfigNotExists,
    /// No such task.
    AsyncTaskNotFound,
    /// No concurrency configuration for this function.
    ConcurrencyConfigNotFound,
    /// No provision configuration for this function and qualifier.
    ProvisionConfigNotFound,
    /// No scaling configuration for this function and qualifier.
    ScalingConfigNotFound,
    /// The qualifier has a provision configuration already.
    ProvisionConfigExist,
    /// The qualifier has a scaling configuration already.
    ScalingConfigExist,
    /// A policy that goes by use needs the function's instance metrics.
    InstanceMetricsRequired,
    /// No such account.
    AccountNotFound,
    /// No such key.
    KeyNotFound,
    /// No such resource of another kind.
    ResourceNotFound,
    /// A function of this name exists.
    FunctionAlreadyExists,
    /// An alias of this name exists.
    AliasAlreadyExists,
    /// An account of this name exists.
    AccountAlreadyExists,
    /// A task of this id exists in this function.
    AsyncTaskAlreadyExists,
    /// The task has ended: it can no longer be stopped or changed.
    AsyncTaskAlreadyFinished,
    /// The task has not ended: it cannot be retried yet.
    AsyncTaskNotFinished,
    /// No such flow.
    FlowNotExists,
    /// A flow of this name exists.
    FlowAlreadyExists,
    /// No such version of the flow.
    FlowVersionNotExists,
    /// No such alias of the flow.
    FlowAliasNotExists,
    /// An alias of this name exists in the flow.
    FlowAliasAlreadyExists,
    /// No such execution.
    ExecutionNotExists,
    /// An execution of this name exists in the flow.
    ExecutionAlreadyExists,
    /// The execution has ended.
    ExecutionAlreadyCompleted,
    /// The execution has not failed, so there is nothing to run again.
    ExecutionNotRedrivable,
    /// No such schedule.
    ScheduleNotExists,
    /// A schedule of this name exists in the flow.
    ScheduleAlreadyExists,
    /// No such activity.
    ActivityNotExists,
    /// No such map run.
    MapRunNotExists,
    /// The token is not one of ours.
    InvalidTaskToken,
    /// The step that the token is of has ended: its result is known, or its time was up.
    TaskAlreadyCompleted,
    /// The operation does not fit the resource, such as a synchronous start of a Standard flow.
    ActionNotSupported,
    /// Two writers on one resource; read and try again.
    ConcurrentUpdateError,
    /// The instance did not start.
    FunctionNotStarted,
    /// The function is not in a state in which it can be invoked.
    FunctionNotReady,
    /// Invocation of this function was switched off.
    InvocationDisabled,
    /// An instance, concurrency or rate limit is reached.
    ResourceExhausted,
    /// No room on any node right now.
    ResourceThrottled,
    /// The account's budget or quota is used up.
    QuotaExceeded,
    /// The disk is nearly full: new work is refused, running work settles.
    InsufficientStorage,
    /// The payload does not match the function's schema.
    PayloadSchemaMismatch,
    /// The server is stopping.
    ServiceUnavailable,
    /// The operation is known but not built yet.
    NotImplemented,
    /// Our fault.
    InternalServerError,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A refusal: a code and a sentence that says what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// For a person; wording may change.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The commonest one.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for Refusal {}
