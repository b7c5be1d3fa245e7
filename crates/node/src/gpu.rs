//! The GPUs of this machine: which there are, and which instance has what of them.
//!
//! The operator names them, or the driver does. Nothing of a GPU is needed to say that there is one: a
//! card is a type, an amount of memory and device files, so that any file of `/dev` can stand for one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use stint_model::gpu::{CARDS_MAX, GpuCard, GpuKind, GpuNeed};

use crate::agent::InstanceKey;

/// A card and the files behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GpuDevice {
    /// What it is.
    pub card: GpuCard,
    /// Its device files, all below `/dev`.
    pub files: Vec<PathBuf>,
}

/// Why a text names no card.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GpuError {
    /// Its type.
    #[error("`{0}` is no type of GPU; use one of {list}", list = kinds())]
    Kind(String),
    /// Its memory.
    #[error("`{0}` is no memory of a GPU: write MB, at least 1024")]
    Memory(String),
    /// Its files.
    #[error("`{0}` is no device file: write a path below /dev")]
    File(String),
}

fn kinds() -> String {
    GpuKind::ALL.map(GpuKind::word).join(", ")
}

/// `TYPE[:MB[:FILE[+FILE…]]]`: without memory that of its type, without files none.
impl FromStr for GpuDevice {
    type Err = GpuError;

    fn from_str(text: &str) -> Result<Self, GpuError> {
        let mut parts = text.splitn(3, ':').map(str::trim);
        let word = parts.next().unwrap_or_default();
        let kind = GpuKind::from_word(word).ok_or_else(|| GpuError::Kind(word.to_owned()))?;
        let memory_mb = match parts.next().filter(|text| !text.is_empty()) {
            None => kind.memory_mb(),
            Some(text) => text
                .parse()
                .ok()
                .filter(|mb| *mb >= 1_024)
                .ok_or_else(|| GpuError::Memory(text.to_owned()))?,
        };
        let files = parts.next().unwrap_or_default().split('+').filter(|file| !file.is_empty());
        let files = files.map(|file| {
            let path = PathBuf::from(file);
            let plain =
                !file.contains("..") && path.starts_with("/dev") && path != Path::new("/dev");
            if plain { Ok(path) } else { Err(GpuError::File(file.to_owned())) }
        });
        let files = files.collect::<Result<_, _>>()?;
        Ok(Self { card: GpuCard { kind, memory_mb }, files })
    }
}

/// Where the driver says what it found.
const DRIVER: &str = "/proc/driver/nvidia/gpus";
/// Files that belong to every card.
const SHARED: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
/// What the driver calls a card, by a part of the name, and which type that is.
const MODELS: [(&str, GpuKind); 13] = [
    ("Tesla T4", GpuKind::Tesla1),
    ("A10", GpuKind::Ampere1),
    ("L20", GpuKind::Ada1),
    ("L40", GpuKind::Ada3),
    ("RTX 4090", GpuKind::Ada2),
    ("L4", GpuKind::Ada2),
    ("H200", GpuKind::Hopper2),
    ("H20-3e", GpuKind::Hopper2),
    ("H20", GpuKind::Hopper1),
    ("H100", GpuKind::Hopper1),
    ("RTX 5090", GpuKind::Blackwell1),
    ("RTX A5000", GpuKind::Ampere1),
    ("RTX 3090", GpuKind::Ampere1),
];

/// The cards that the driver of this machine knows, and of those it knows the names of what the operator
/// has to give a type himself.
pub fn probe() -> (Vec<GpuDevice>, Vec<String>) {
    probe_in(Path::new(DRIVER), Path::new("/dev"))
}

fn probe_in(driver: &Path, dev: &Path) -> (Vec<GpuDevice>, Vec<String>) {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    let mut cards: Vec<PathBuf> =
        fs::read_dir(driver).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    cards.sort();
    for card in cards {
        let Ok(text) = fs::read_to_string(card.join("information")) else { continue };
        let field = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
            line.map(str::trim)
        };
        let (Some(model), Some(minor)) = (field("Model"), field("Device Minor")) else { continue };
        let own = dev.join(format!("nvidia{minor}"));
        if !own.exists() {
            unknown.push(format!("{model} ({} is not there)", own.display()));
            continue;
        }
        let Some((_, kind)) = MODELS.iter().find(|(part, _)| has_words(model, part)) else {
            unknown.push(model.to_owned());
            continue;
        };
        let shared = SHARED.iter().map(PathBuf::from).filter(|file| file.exists());
        let card = GpuCard { kind: *kind, memory_mb: kind.memory_mb() };
        found.push(GpuDevice { card, files: [own].into_iter().chain(shared).collect() });
    }
    found.truncate(CARDS_MAX);
    (found, unknown)
}

/// Whether the words of `part` stand in `model` one after the other: `L4` is not in `L40`.
fn has_words(model: &str, part: &str) -> bool {
    let words: Vec<&str> = model.split_whitespace().collect();
    let part: Vec<&str> = part.split_whitespace().collect();
    words.windows(part.len()).any(|window| window == part)
}

/// Who has what of which card.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    cards: Vec<GpuCard>,
    held: BTreeMap<InstanceKey, (usize, u32)>,
}

impl Gpus {
    pub(crate) fn new(devices: &[GpuDevice]) -> Self {
        Self { cards: devices.iter().map(|device| device.card).collect(), held: BTreeMap::new() }
    }

    fn free(&self, place: usize) -> u32 {
        let held = self.held.values().filter(|(card, _)| *card == place);
        self.cards[place].memory_mb.saturating_sub(held.map(|(_, mb)| mb).sum())
    }

    /// The card that would hold a need: the one with the least left.
    fn find(&self, need: GpuNeed) -> Option<(usize, u32)> {
        let shares = self.cards.iter().enumerate();
        let shares = shares.filter_map(|(place, card)| Some((place, card.share(need)?)));
        let fits = shares.filter(|(place, share)| *share <= self.free(*place));
        fits.min_by_key(|(place, _)| self.free(*place))
    }

    pub(crate) fn fits(&self, need: GpuNeed) -> bool {
        self.find(need).is_some()
    }

    /// Takes what an instance needs: which card, and how many MB of it.
    pub(crate) fn take(&mut self, key: InstanceKey, need: GpuNeed) -> Option<(usize, u32)> {
        let found = self.find(need)?;
        self.held.insert(key, found);
        Some(found)
    }

    pub(crate) fn give_back(&mut self, key: InstanceKey) {
        self.held.remove(&key);
    }

    /// Whether an instance has some of a card of this type.
    pub(crate) fn has(&self, key: InstanceKey, kind: GpuKind) -> bool {
        self.held.get(&key).is_some_and(|(place, _)| self.cards[*place].kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_named_in_a_line() {
        let full: GpuDevice = "fc.gpu.ada.1:8192:/dev/nvidia0+/dev/nvidiactl".parse().unwrap();
        assert_eq!(full.card, GpuCard { kind: GpuKind::Ada1, memory_mb: 8_192 });
        assert_eq!(full.files, [Path::new("/dev/nvidia0"), Path::new("/dev/nvidiactl")]);
        let short: GpuDevice = "g1".parse().unwrap();
        assert_eq!((short.card.memory_mb, short.files.len()), (16_384, 0));
        for bad in
            ["", "abacus", "g1:12", "g1:x", "g1::/etc/passwd", "g1::/dev/../etc/x", "g1::/dev"]
        {
            assert!(bad.parse::<GpuDevice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_driver_is_asked_and_names_are_whole_words() {
        let dir = tempfile::tempdir().unwrap();
        let (driver, dev) = (dir.path().join("gpus"), dir.path().join("dev"));
        fs::create_dir_all(&dev).unwrap();
        for (minor, model) in
            [(0, "Tesla T4"), (1, "NVIDIA L40"), (2, "Voodoo 2"), (3, "NVIDIA L4")]
        {
            let card = driver.join(format!("0000:0{minor}:00.0"));
            fs::create_dir_all(&card).unwrap();
            let text = format!("Model: \t\t {model}\nIRQ:   \t\t 57\nDevice Minor: \t {minor}\n");
            fs::write(card.join("information"), text).unwrap();
            if minor != 3 {
                fs::write(dev.join(format!("nvidia{minor}")), "").unwrap();
            }
        }
        let (found, unknown) = probe_in(&driver, &dev);
        let kinds: Vec<_> = found.iter().map(|device| device.card.kind).collect();
        assert_eq!(kinds, [GpuKind::Tesla1, GpuKind::Ada3]);
        assert_eq!(found[1].files[0], dev.join("nvidia1"));
        assert_eq!((unknown.len(), unknown[0].as_str()), (2, "Voodoo 2"));
        assert_eq!(probe_in(&dir.path().join("none"), &dev), (Vec::new(), Vec::new()));
    }

    #[test]
    fn cards_are_filled_before_the_next_is_begun() {
        let device: GpuDevice = "g1".parse().unwrap();
        let mut gpus = Gpus::new(&[device.clone(), device]);
        let need = |memory_mb| GpuNeed { kind: GpuKind::Tesla1, memory_mb };
        let key = InstanceKey;
        assert_eq!(gpus.take(key(1), need(4_096)), Some((0, 4_096)));
        assert_eq!(gpus.take(key(2), need(4_096)), Some((0, 4_096)));
        assert_eq!(gpus.take(key(3), need(0)), Some((1, 16_384)));
        assert!(!gpus.fits(need(0)) && !gpus.fits(need(9_216)) && gpus.fits(need(8_192)));
        gpus.give_back(key(3));
        assert!(gpus.fits(need(0)) && gpus.has(key(1), GpuKind::Tesla1));
    }
}
