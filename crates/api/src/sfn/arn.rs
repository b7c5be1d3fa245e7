//! Names as Step Functions writes them. The region is the server's own and the account the caller's;
//! read are those of any region, so that a client may write its own.
//!
//! ```text
//! arn:aws:states:R:A:stateMachine:FLOW            arn:aws:states:R:A:stateMachine:FLOW:QUALIFIER
//! arn:aws:states:R:A:execution:FLOW:NAME          arn:aws:states:R:A:express:FLOW:NAME:UUID
//! arn:aws:states:R:A:execution:FLOW/STEP:exe_…    arn:aws:states:R:A:mapRun:FLOW/EXECUTION:CALL
//! arn:aws:states:R:A:activity:NAME
//! ```

use stint_engine::flows::ExecutionRef;
use stint_model::execution::Execution;
use stint_model::flow::FlowMode;
use stint_model::id::AccountId;

use super::refused::Refused;

/// Whose names are written and read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arns<'a> {
    pub(super) region: &'a str,
    pub(super) account: AccountId,
}

/// A flow, perhaps with a version or alias.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Machine {
    pub(super) flow: String,
    pub(super) qualifier: Option<String>,
}

/// A map run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MapRunRef {
    pub(super) execution: ExecutionRef,
    pub(super) call: String,
}

impl Arns<'_> {
    fn make(&self, rest: &str) -> String {
        format!("arn:aws:states:{}:{}:{rest}", self.region, self.account)
    }

    pub(super) fn machine(&self, flow: &str) -> String {
        self.make(&format!("stateMachine:{flow}"))
    }

    /// Of a version or an alias.
    pub(super) fn qualified(&self, flow: &str, qualifier: &str) -> String {
        self.make(&format!("stateMachine:{flow}:{qualifier}"))
    }

    pub(super) fn activity(&self, name: &str) -> String {
        self.make(&format!("activity:{name}"))
    }

    pub(super) fn execution(&self, run: &Execution) -> String {
        match (&run.map, run.mode) {
            (Some(child), _) => {
                self.make(&format!("execution:{}/{}:{}", run.flow_name, child.step, run.uid))
            }
            (None, FlowMode::Standard) => {
                self.make(&format!("execution:{}:{}", run.flow_name, run.name))
            }
            (None, FlowMode::Express) => {
                self.make(&format!("express:{}:{}", run.flow_name, run.name))
            }
        }
    }

    /// Of the execution that holds it; the child of another map run goes by its own id.
    pub(super) fn map_run(&self, run: &Execution, call: &str) -> String {
        let holder = if run.map.is_some() { run.uid.to_string() } else { run.name.clone() };
        self.map_run_of(&run.flow_name, &holder, call)
    }

    pub(super) fn map_run_of(&self, flow: &str, holder: &str, call: &str) -> String {
        self.make(&format!("mapRun:{flow}/{holder}:{call}"))
    }

    /// What follows the account, if the name is of ours.
    fn rest<'t>(&self, text: &'t str, kinds: &[&str]) -> Result<(&'t str, &'t str), Refused> {
        let invalid = || {
            let shown: String = text.chars().take(256).collect();
            Refused::new("InvalidArn", format!("Invalid Arn: '{shown}'"))
        };
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        let ["arn", partition, "states", _, account, kind, rest] = parts[..] else {
            return Err(invalid());
        };
        if !partition.starts_with("aws") || !kinds.contains(&kind) || rest.is_empty() {
            return Err(invalid());
        }
        if account != self.account.to_string() {
            let message = format!("account {account} of '{text}' is not the caller's");
            return Err(Refused::new("AccessDeniedException", message));
        }
        Ok((kind, rest))
    }

    pub(super) fn read_machine(&self, text: &str) -> Result<Machine, Refused> {
        let (_, rest) = self.rest(text, &["stateMachine"])?;
        let (flow, qualifier) = match rest.split_once(':') {
            Some((flow, qualifier)) => (flow, Some(qualifier.to_owned())),
            None => (rest, None),
        };
        Ok(Machine { flow: flow.to_owned(), qualifier })
    }

    /// A version's or an alias's: flow and qualifier.
    pub(super) fn read_qualified(&self, text: &str) -> Result<(String, String), Refused> {
        let machine = self.read_machine(text)?;
        let qualifier = machine.qualifier.ok_or_else(|| {
            Refused::new("InvalidArn", format!("Invalid Arn: '{text}' names no version or alias"))
        })?;
        Ok((machine.flow, qualifier))
    }

    pub(super) fn read_execution(&self, text: &str) -> Result<ExecutionRef, Refused> {
        let (_, rest) = self.rest(text, &["execution", "express"])?;
        let invalid = || Refused::new("InvalidArn", format!("Invalid Arn: '{text}'"));
        let (flow, name) = rest.split_once(':').ok_or_else(invalid)?;
        if flow.contains('/') {
            return name.parse().map(ExecutionRef::Uid).map_err(|_| invalid());
        }
        Ok(ExecutionRef::named(flow, name))
    }

    pub(super) fn read_map_run(&self, text: &str) -> Result<MapRunRef, Refused> {
        let (_, rest) = self.rest(text, &["mapRun"])?;
        let parts = rest.split_once('/').and_then(|(flow, rest)| {
            let (execution, call) = rest.rsplit_once(':')?;
            Some((flow, execution, call))
        });
        let (flow, execution, call) =
            parts.ok_or_else(|| Refused::new("InvalidArn", format!("Invalid Arn: '{text}'")))?;
        let execution = match execution.parse() {
            Ok(uid) => ExecutionRef::Uid(uid),
            Err(_) => ExecutionRef::named(flow, execution),
        };
        Ok(MapRunRef { execution, call: call.to_owned() })
    }

    pub(super) fn read_activity(&self, text: &str) -> Result<String, Refused> {
        self.rest(text, &["activity"]).map(|(_, name)| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARNS: Arns<'_> = Arns { region: "local", account: AccountId::new(7) };

    #[test]
    fn what_is_written_reads_back() {
        let machine = ARNS.machine("f");
        assert_eq!(machine, format!("arn:aws:states:local:{}:stateMachine:f", AccountId::new(7)));
        let read = ARNS.read_machine(&machine).unwrap();
        assert_eq!((read.flow.as_str(), read.qualifier), ("f", None));
        let version = ARNS.qualified("f", "3");
        assert_eq!(ARNS.read_qualified(&version), Ok(("f".to_owned(), "3".to_owned())));
        assert!(ARNS.read_qualified(&machine).is_err());
        let elsewhere = machine.replace(":local:", ":eu-west-1:");
        assert!(ARNS.read_machine(&elsewhere).is_ok(), "any region is read");
        let run = ARNS.map_run_of("f", "e:with", "7.1");
        let read = ARNS.read_map_run(&run).unwrap();
        assert_eq!(
            (read.execution, read.call),
            (ExecutionRef::named("f", "e:with"), "7.1".to_owned())
        );
        assert_eq!(ARNS.read_activity(&ARNS.activity("a")), Ok("a".to_owned()));
        let express = machine.replace("stateMachine:f", "express:f:n:uuid");
        assert_eq!(ARNS.read_execution(&express), Ok(ExecutionRef::named("f", "n:uuid")));
    }

    #[test]
    fn what_is_none_is_said() {
        let other = Arns { account: AccountId::new(8), ..ARNS }.machine("f");
        assert_eq!(ARNS.read_machine(&other).unwrap_err().kind, "AccessDeniedException");
        for bad in ["", "f", "arn:aws:states:::stateMachine", "arn:aws:lambda:r:7:function:f"] {
            assert_eq!(ARNS.read_machine(bad).unwrap_err().kind, "InvalidArn", "{bad}");
        }
        let no_uid = format!("arn:aws:states:r:{}:execution:f/step:x", AccountId::new(7));
        assert_eq!(ARNS.read_execution(&no_uid).unwrap_err().kind, "InvalidArn");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(arn|aws|states|:|/|7|execution|mapRun|stateMachine|[a-z0-9._-]){0,16}") {
            drop((ARNS.read_machine(&text), ARNS.read_execution(&text), ARNS.read_map_run(&text)));
            drop((ARNS.read_activity(&text), ARNS.read_qualified(&text)));
        }
    }
}
