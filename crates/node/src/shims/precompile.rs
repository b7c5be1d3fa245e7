//! Compiles the Python shim once per interpreter instead of at every start, which halves the time a
//! cold interpreter takes to its first request.
//!
//! The interpreter runs in a sandbox like any other and hands the bytecode over its standard output;
//! nothing but names we know is written. Instances that start before this is done compile for
//! themselves, as they do with an interpreter that cannot do it.

use std::path::Path;

use stint_model::time::Span;
use stint_sandbox::{
    Bind, Channel, Exit, ExitHow, HostUser, Inside, Interpreter, LaunchSpec, Launched, Launcher,
    Limits, Network, Outfit, RootFs,
};
use stint_supervise::Clock;
use tokio::io::AsyncReadExt as _;

use super::{FILES, INSIDE};

/// A compilation takes tens of milliseconds.
const PATIENCE: Span = Span::from_secs(30);
/// The shim's bytecode has some thirty kilobytes.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// Anybody but root.
const NOBODY: u32 = 65_534;

/// Unchecked hash-based files: the directory belongs to one version and is never edited.
const PROGRAM: &str = r"
import sys, importlib.util as u, importlib._bootstrap_external as b
for name in sys.argv[2:]:
    path = sys.argv[1] + '/python/' + name + '.py'
    with open(path, 'rb') as f:
        source = f.read()
    code = compile(source, path, 'exec', dont_inherit=True)
    data = b._code_to_hash_pyc(code, u.source_hash(source), False)
    head = '%s.%s.pyc %d\n' % (name, sys.implementation.cache_tag, len(data))
    sys.stdout.buffer.write(head.encode() + data)
";

/// Compiles for one interpreter. What goes wrong costs time at cold starts and nothing else.
pub(crate) async fn precompile(
    launcher: &Launcher,
    clock: &Clock,
    shims: &Path,
    interpreter: &Interpreter,
) {
    let path = interpreter.path.display();
    match compiled(launcher, clock, shims, interpreter).await {
        Ok(files) => {
            let dir = shims.join("python/__pycache__");
            if let Err(error) = write(&dir, &files) {
                tracing::warn!(%path, %error, "cannot keep the compiled shim");
            }
        }
        Err(reason) => tracing::info!(%path, %reason, "the shim is compiled at every start"),
    }
}

async fn compiled(
    launcher: &Launcher,
    clock: &Clock,
    shims: &Path,
    interpreter: &Interpreter,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let modules = modules();
    let mut argv = vec![interpreter.path.display().to_string()];
    argv.extend(["-I", "-S", "-B", "-c", PROGRAM, INSIDE].map(str::to_owned));
    argv.extend(modules.iter().map(|name| (*name).to_owned()));
    let mut binds = interpreter.binds.clone();
    binds.push(Bind::read_only(shims, INSIDE));
    let spec = LaunchSpec {
        root: RootFs::Host,
        argv,
        env: Vec::new(),
        cwd: "/tmp".into(),
        binds,
        limits: Limits { memory_mb: 256, cpu_milli: 1000, pids_max: 64, nofile: 1024, tmp_mb: 16 },
        user: HostUser { uid: NOBODY, gid: NOBODY },
        inside: Inside::default(),
        network: Network::Loopback,
        channel: Channel::None,
        outfit: Outfit::Whole,
    };
    let launched = launcher.launch(spec).await.map_err(|error| error.to_string())?;
    let instance = launched.instance.clone();
    let run = clock.within(PATIENCE, output_of(launched)).await;
    instance.kill();
    let (exit, bytes) = run.ok_or("it took too long")??;
    if exit.how != ExitHow::Code(0) {
        return Err(format!("it ended with {:?}", exit.how));
    }
    parse(&bytes, &modules).ok_or_else(|| "its output cannot be read".to_owned())
}

async fn output_of(launched: Launched) -> Result<(Exit, Vec<u8>), String> {
    let mut bytes = Vec::new();
    let mut stdout = launched.stdout.take(OUTPUT_BYTES_MAX);
    stdout.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    let exit = launched.exit.await.map_err(|_| "the spawner ended".to_owned())?;
    Ok((exit, bytes))
}

/// What the entry point imports; the entry point itself is never taken from the cache.
fn modules() -> Vec<&'static str> {
    let names =
        FILES.iter().filter_map(|(name, _)| name.strip_prefix("python/")?.strip_suffix(".py"));
    names.filter(|name| *name != "bootstrap").collect()
}

/// `name.tag.pyc length\n` and the bytes, over and over.
fn parse(mut bytes: &[u8], modules: &[&str]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let (name, length) = head.split_once(' ')?;
        let (module, rest) = name.split_once('.')?;
        let tag = rest.strip_suffix(".pyc")?;
        let plain = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !modules.contains(&module) || tag.is_empty() || !plain {
            return None;
        }
        let length: usize = length.parse().ok()?;
        let body = bytes.get(end + 1..end.checked_add(1)?.checked_add(length)?)?;
        files.push((name.to_owned(), body.to_vec()));
        bytes = &bytes[end + 1 + length..];
    }
    (files.len() == modules.len()).then_some(files)
}

/// Each file appears whole or not at all: instances are reading the directory.
fn write(dir: &Path, files: &[(String, Vec<u8>)]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    super::open_to_all(dir, 0o755)?;
    for (name, bytes) in files {
        let (draft, target) = (dir.join(format!("{name}.draft")), dir.join(name));
        std::fs::write(&draft, bytes)?;
        super::open_to_all(&draft, 0o644)?;
        std::fs::rename(&draft, &target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_are_taken() {
        let known = ["stint_loop"];
        let good = parse(b"stint_loop.cpython-311.pyc 3\nabc", &known).unwrap();
        assert_eq!(good, [("stint_loop.cpython-311.pyc".to_owned(), b"abc".to_vec())]);
        for bad in [
            &b""[..],
            b"stint_loop.cpython-311.pyc 4\nabc",
            b"../x.cpython-311.pyc 3\nabc",
            b"stint_loop.../../x.pyc 3\nabc",
            b"stint_loop.cpython-311.pyc 18446744073709551615\nabc",
            b"other.cpython-311.pyc 3\nabc",
            b"no newline",
        ] {
            assert_eq!(parse(bad, &known), None, "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(modules(), ["stint_loop", "stint_context", "stint_errors", "stint_logging"]);
    }
}
