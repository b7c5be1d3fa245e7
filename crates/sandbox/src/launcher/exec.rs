//! Starting a further program in a living instance.

use rustix::io::Errno;

use super::{Instance, SandboxError};
use crate::exec::{ExecEnds, ExecSpec, Program, refusal};
use crate::message::{Control, encode};
use crate::spec::{SPEC_BYTES_MAX, SpecError};

impl Instance {
    /// Starts a further program beside the instance's own, behind the same walls and within the same
    /// limits; returns when it has been executed. It ends with the instance, or when the
    /// [`Program`]'s end is dropped. A frozen instance is to be thawed first.
    ///
    /// # Errors
    /// `Spec` when it can be executed nowhere, `Exec` when not here, `Ended` when the instance has ended.
    pub async fn exec(&self, spec: ExecSpec) -> Result<Program, SandboxError> {
        spec.validate()?;
        let ends = ExecEnds::new(spec.terminal).map_err(|source| SandboxError::System {
            doing: "cannot make the program's pipes",
            source,
        })?;
        let control = Control::Exec(spec);
        let length = encode(&control).len();
        if length > SPEC_BYTES_MAX {
            return Err(SpecError::TooLarge(length).into());
        }
        match self.ask(control, &ends.theirs()).await {
            Ok(_) => Ok(ends.ours),
            Err(error) => match error.raw_os_error() {
                Some(errno) => {
                    Err(SandboxError::Exec { why: refusal(Errno::from_raw_os_error(errno)), errno })
                }
                None => Err(SandboxError::Ended),
            },
        }
    }
}
