//! What is different about an instance whose root is an image: where the image comes from, and what
//! is run in it. Everything after that is a custom server.

use stint_model::function::CustomContainer;
use stint_model::id::InstanceId;
use stint_model::image::{ImageFaultKind, ImageSource};
use stint_sandbox::{ImageRoot, Inside, LaunchSpec, RootFs};
use stint_wire::node::{FromNode, PoolSpec};

use crate::environment::{self, Base, Outside};
use crate::failure::{self, Failure};
use crate::image::{HeldImage, ImageError, RunConfig};
use crate::shared::NodeShared;

/// Whether the function's code is the archive of its image.
pub(super) fn is_archive(spec: &PoolSpec) -> bool {
    let image = spec.image.as_ref().map(|order| ImageSource::parse(&order.reference));
    matches!(image, Some(Ok(ImageSource::Code { .. })))
}

/// The pinned image. When it is gone for good, the function's state must say so, too.
pub(super) async fn hold(shared: &NodeShared, spec: &PoolSpec) -> Result<HeldImage, Failure> {
    let order = spec.image.as_ref().ok_or_else(|| failure::system("the image is not known"))?;
    let user = shared.identities.user(spec.account);
    let user = user.map_err(|error| failure::system(error.to_string()))?;
    let patience = shared.config.bounds.start_timeout;
    let error = match shared.images.hold(order, user, patience).await {
        Ok(image) => return Ok(image),
        Err(error) => error,
    };
    let fault = error.fault();
    let text = format!("The function cannot be started. Its image: {}", fault.reason);
    match fault.kind {
        ImageFaultKind::NotFound
        | ImageFaultKind::AccessDenied
        | ImageFaultKind::Invalid
        | ImageFaultKind::NotAllowed
        | ImageFaultKind::Changed => {
            let (function, revision) = (spec.function, spec.revision);
            shared.send(FromNode::Image { function, revision, found: Err(fault) }).await;
            Err(failure::not_started(text))
        }
        ImageFaultKind::Unreachable | ImageFaultKind::Internal => {
            tracing::warn!(error = chain(&error), "an image cannot be fetched");
            Err(failure::system(text))
        }
    }
}

fn chain(error: &ImageError) -> String {
    stint_supervise::chain(error)
}

/// A launch in the image: its root, command, environment, directory and user.
pub(super) fn dress(
    base: LaunchSpec,
    (spec, id): (&PoolSpec, InstanceId),
    image: &HeldImage,
    outside: &Outside,
) -> Result<LaunchSpec, Failure> {
    let (run, user) = (image.run(), image.user());
    let argv = command(spec.config.custom_container.as_ref(), run);
    if argv.is_empty() {
        return Err(failure::not_started(
            "The function cannot be started. Its image has neither an entry point nor a command: \
             set customContainerConfig.entrypoint or command"
                .to_owned(),
        ));
    }
    let root = ImageRoot { layers: image.layers.clone() };
    let from = Base::Image { env: &run.env, home: &user.home };
    Ok(LaunchSpec {
        root: RootFs::Image(root),
        inside: seen_as((user.uid, user.gid), base.inside),
        argv,
        env: environment::environment(spec, id, (from, outside)),
        cwd: run.working_dir.as_str().into(),
        ..base
    })
}

/// Who the image's user is inside: whoever volumes know it as outside, and of the account's others
/// those that do not have its ids.
fn seen_as((uid, gid): (u32, u32), inside: Inside) -> Inside {
    let Inside { users, groups, .. } = inside;
    let users = users.into_iter().filter(|(id, _)| *id != uid).collect();
    let groups = groups.into_iter().filter(|(id, _)| *id != gid).collect();
    Inside { uid, gid, users, groups }
}

/// Entry point and command as container tools combine them: another entry point makes the image's
/// command meaningless.
fn command(said: Option<&CustomContainer>, run: &RunConfig) -> Vec<String> {
    let (entrypoint, command) = said.map_or((&[][..], &[][..]), |container| {
        (container.entrypoint.as_slice(), container.command.as_slice())
    });
    let own_entry = !entrypoint.is_empty();
    let entrypoint = if own_entry { entrypoint } else { &run.entrypoint };
    let command = match (command.is_empty(), own_entry) {
        (false, _) => command,
        (true, false) => &run.command,
        (true, true) => &[],
    };
    entrypoint.iter().chain(command).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_user_is_nobody_twice() {
        let inside = Inside { users: vec![(0, 100_000), (7, 100_002)], ..Inside::alone(55, 55) };
        let seen = seen_as((0, 1), inside);
        assert_eq!((seen.uid, seen.gid), (0, 1));
        assert_eq!((&*seen.users, &*seen.groups), (&[(7, 100_002)][..], &[][..]));
    }

    #[test]
    fn entry_point_and_command_are_combined_as_container_tools_do() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (entrypoint, arguments, expected) in [
            ("", "", "serve --plain"),
            ("", "--fast", "serve --fast"),
            ("other", "", "other"),
            ("other", "--fast", "other --fast"),
        ] {
            let said = CustomContainer {
                entrypoint: words(entrypoint),
                command: words(arguments),
                ..CustomContainer::default()
            };
            let run = RunConfig {
                entrypoint: words("serve"),
                command: words("--plain"),
                ..RunConfig::default()
            };
            assert_eq!(command(Some(&said), &run).join(" "), expected);
        }
        assert!(command(None, &RunConfig::default()).is_empty());
    }
}
