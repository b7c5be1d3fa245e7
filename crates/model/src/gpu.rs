//! GPUs: the types upstream names, what an instance asks for, what a node offers, and whether the one
//! fits into the other.
//!
//! An instance takes memory of one card, or all of it. Cards are shared by adding up: what an instance
//! may really use of its card's memory is up to the driver.

use alloc::vec::Vec;

/// The types of cards (§1.8). What stands behind each is the operator's to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "upstream's names")]
pub enum GpuKind {
    Tesla1,
    Ampere1,
    Ada1,
    Ada2,
    Ada3,
    Hopper1,
    Hopper2,
    Blackwell1,
    Xpu1,
}

impl GpuKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Tesla1,
        Self::Ampere1,
        Self::Ada1,
        Self::Ada2,
        Self::Ada3,
        Self::Hopper1,
        Self::Hopper2,
        Self::Blackwell1,
        Self::Xpu1,
    ];

    /// Upstream's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tesla1 => "fc.gpu.tesla.1",
            Self::Ampere1 => "fc.gpu.ampere.1",
            Self::Ada1 => "fc.gpu.ada.1",
            Self::Ada2 => "fc.gpu.ada.2",
            Self::Ada3 => "fc.gpu.ada.3",
            Self::Hopper1 => "fc.gpu.hopper.1",
            Self::Hopper2 => "fc.gpu.hopper.2",
            Self::Blackwell1 => "fc.gpu.blackwell.1",
            Self::Xpu1 => "fc.gpu.xpu.1",
        }
    }

    /// The one of that name; `g1` is an old name of the first.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "g1" => Some(Self::Tesla1),
            _ => Self::ALL.into_iter().find(|kind| kind.word() == word),
        }
    }

    /// Memory of a card of this type, in MB (§5.6).
    pub const fn memory_mb(self) -> u32 {
        let gb = match self {
            Self::Tesla1 => 16,
            Self::Ampere1 | Self::Ada2 => 24,
            Self::Ada1 | Self::Ada3 => 48,
            Self::Hopper1 | Self::Xpu1 => 96,
            Self::Hopper2 => 141,
            Self::Blackwell1 => 32,
        };
        gb * 1_024
    }

    /// Compute units of a GB of its memory in use for a second, in thousandths (§8).
    pub const fn milli_units(self) -> u32 {
        match self {
            Self::Tesla1 | Self::Blackwell1 => 2_100,
            Self::Ampere1 => 1_800,
            Self::Ada1 => 1_700,
            Self::Ada2 | Self::Ada3 => 1_950,
            Self::Hopper1 | Self::Hopper2 => 2_310,
            Self::Xpu1 => 1_200,
        }
    }
}

/// What an instance takes of a card.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GpuNeed {
    /// Of which type.
    pub kind: GpuKind,
    /// How much of its memory, in MB; zero: the whole card.
    pub memory_mb: u32,
}

/// A card of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GpuCard {
    /// Its type.
    pub kind: GpuKind,
    /// Its memory, in MB.
    pub memory_mb: u32,
}

impl GpuCard {
    /// What a need takes of it; nothing when it can never hold it.
    pub fn share(self, need: GpuNeed) -> Option<u32> {
        let memory_mb = if need.memory_mb == 0 { self.memory_mb } else { need.memory_mb };
        (self.kind == need.kind && memory_mb <= self.memory_mb).then_some(memory_mb)
    }
}

/// Cards of one node at most.
pub const CARDS_MAX: usize = 16;

/// The cards of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GpuCards {
    cards: [Option<GpuCard>; CARDS_MAX],
}

impl GpuCards {
    /// The first [`CARDS_MAX`] of these.
    pub fn new(cards: impl IntoIterator<Item = GpuCard>) -> Self {
        let mut all = Self::default();
        for (place, card) in all.cards.iter_mut().zip(cards) {
            *place = Some(card);
        }
        all
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = GpuCard> + '_ {
        self.cards.iter().flatten().copied()
    }

    /// Whether an empty card here could hold it.
    pub fn could_hold(&self, need: GpuNeed) -> bool {
        self.iter().any(|card| card.share(need).is_some())
    }

    /// Whether all of these fit at once: the largest first, each where least is left.
    pub fn pack(&self, needs: impl IntoIterator<Item = GpuNeed>) -> bool {
        let mut needs: Vec<GpuNeed> = needs.into_iter().collect();
        // Whole cards first.
        needs.sort_unstable_by_key(|need| core::cmp::Reverse(need.memory_mb.wrapping_sub(1)));
        let mut free: Vec<(GpuCard, u32)> =
            self.iter().map(|card| (card, card.memory_mb)).collect();
        needs.into_iter().all(|need| {
            let fits = |(card, left): &&mut (GpuCard, u32)| {
                card.share(need).is_some_and(|share| share <= *left)
            };
            let Some((card, left)) = free.iter_mut().filter(fits).min_by_key(|(_, left)| *left)
            else {
                return false;
            };
            *left -= card.share(need).unwrap_or(0);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T4: GpuCard = GpuCard { kind: GpuKind::Tesla1, memory_mb: 16_384 };

    fn need(memory_mb: u32) -> GpuNeed {
        GpuNeed { kind: GpuKind::Tesla1, memory_mb }
    }

    #[test]
    fn every_type_has_a_name_of_its_own() {
        for kind in GpuKind::ALL {
            assert_eq!(GpuKind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(GpuKind::from_word("g1"), Some(GpuKind::Tesla1));
        assert_eq!(GpuKind::from_word("fc.gpu.abacus.1"), None);
    }

    #[test]
    fn needs_are_packed_and_a_whole_card_is_alone() {
        let cards = GpuCards::new([T4, T4]);
        assert!(cards.pack([need(8_192), need(0), need(8_192)]));
        assert!(!cards.pack([need(8_192), need(0), need(9_216)]));
        assert!(cards.pack([need(6_144), need(10_240), need(6_144), need(10_240)]));
        assert!(!cards.pack([need(16_384), need(16_384), need(1_024)]));
        assert!(!cards.could_hold(need(17_408)));
        let other = GpuNeed { kind: GpuKind::Ada1, memory_mb: 1_024 };
        assert!(!cards.could_hold(other) && !cards.pack([other]));
    }
}
