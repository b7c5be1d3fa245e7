//! Getting a spawner: the first, and another one when it has died.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixDatagram;

use super::{
    LauncherConfig, SandboxError, SpawnerCommand, packets, receive_async, send_async, system,
};
use crate::cgroup;
use crate::message::{PACKET_BYTES_MAX, Report, Request, SpawnerSetup, decode, encode, pair};
use crate::policy::Capabilities;

/// How often another spawner is tried before the launcher gives up, and the pause after a failure;
/// it doubles each time.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// Another spawner in place of a dead one. The machine must still be good enough.
pub(super) async fn again(
    config: &LauncherConfig,
) -> Result<(UnixDatagram, tokio::process::Child), SandboxError> {
    let mut tried = 0;
    loop {
        let error = match hire(config).await {
            Ok((socket, child, capabilities)) => {
                let missing = config.policy.missing(&capabilities);
                if missing.is_empty() {
                    return Ok((socket, child));
                }
                SandboxError::BelowPolicy { missing }
            }
            Err(error) => error,
        };
        tried += 1;
        if tried == TRIES {
            return Err(error);
        }
        tracing::error!(error = &error as &dyn std::error::Error, "cannot get another spawner");
        tokio::time::sleep(PAUSE * (1 << tried)).await;
    }
}

/// Starts a spawner and waits until it has looked at the machine.
pub(super) async fn hire(
    config: &LauncherConfig,
) -> Result<(UnixDatagram, tokio::process::Child, Capabilities), SandboxError> {
    if !cgroup::name_is_plain(&config.cgroup_name) {
        return Err(SandboxError::CgroupName(config.cgroup_name.clone()));
    }
    let (ours, theirs) = pair().map_err(system("cannot make the spawner's socket"))?;
    let SpawnerCommand { program, args } = config.spawner.clone();
    let child = tokio::process::Command::new(&program)
        .args(&args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| SandboxError::Spawner { program, source })?;
    let socket = packets(ours)?;
    let setup = SpawnerSetup {
        cgroup_name: config.cgroup_name.clone(),
        base_dir: config.base_dir.clone(),
        parked: config.parked,
        user_namespace: config.user_namespace,
    };
    send_async(&socket, &encode(&Request::Configure(setup)), &[]).await?;
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let packet = receive_async(&socket, &mut buffer).await?;
    let (length, _) = packet.ok_or(SandboxError::Gone)?;
    match decode(&buffer[..length]) {
        Ok(Report::Ready(capabilities)) => Ok((socket, child, capabilities)),
        Ok(Report::Failed { failure, .. }) => Err(failure.into()),
        _ => Err(SandboxError::Gone),
    }
}
